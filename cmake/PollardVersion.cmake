# SPDX-License-Identifier: Apache-2.0
# POLLARD_COMMIT: the short commit of the sources, "" outside a git checkout. CMake runs again when HEAD moves.

set(POLLARD_COMMIT "")
find_package(Git QUIET)
if(Git_FOUND)
  execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${PROJECT_SOURCE_DIR}" rev-parse --short=10 HEAD
                  OUTPUT_VARIABLE POLLARD_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(EXISTS "${PROJECT_SOURCE_DIR}/.git/logs/HEAD")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/.git/logs/HEAD")
endif()
