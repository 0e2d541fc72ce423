# SPDX-License-Identifier: Apache-2.0
# Targets `format` (rewrites the sources) and `tidy` (clang-tidy over the compile commands), and the test that the
# tree is formatted. All of it only where the tools are; clang-format must be the version the style was set with,
# because its output changes between versions.

file(GLOB_RECURSE pollard_sources CONFIGURE_DEPENDS
  graph/*.h graph/*.cpp kernels/*.h kernels/*.cpp kernels/*.cu models/*.h models/*.cpp pruning/*.h pruning/*.cpp
  training/*.h training/*.cpp cli/*.h cli/*.cpp bench/*.h bench/*.cpp tests/*.h tests/*.cpp)

find_program(POLLARD_CLANG_FORMAT NAMES clang-format-14 clang-format)
if(POLLARD_CLANG_FORMAT)
  execute_process(COMMAND "${POLLARD_CLANG_FORMAT}" --version OUTPUT_VARIABLE version)
  if(version MATCHES "version 14\\.")
    add_custom_target(format COMMAND "${POLLARD_CLANG_FORMAT}" -i ${pollard_sources} VERBATIM
                      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" COMMENT "Formatting the sources")
    if(POLLARD_TESTS)
      enable_testing()
      add_test(NAME style.format COMMAND "${POLLARD_CLANG_FORMAT}" --dry-run --Werror ${pollard_sources})
    endif()
  endif()
endif()

find_program(POLLARD_RUN_CLANG_TIDY NAMES run-clang-tidy-14 run-clang-tidy)
if(POLLARD_RUN_CLANG_TIDY)
  add_custom_target(tidy COMMAND "${POLLARD_RUN_CLANG_TIDY}" -quiet -p "${PROJECT_BINARY_DIR}"
                    "${PROJECT_SOURCE_DIR}/(graph|kernels|models|pruning|training|cli)/.*cpp$$" VERBATIM
                    COMMENT "clang-tidy over the library folders")
endif()

# cmake --build --preset coverage --target print_coverage: after the tests, what they ran.
if(POLLARD_COVERAGE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_custom_target(print_coverage
    COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/cmake/print_coverage.py" "${PROJECT_BINARY_DIR}"
            "${PROJECT_SOURCE_DIR}" 90
    USES_TERMINAL VERBATIM)
endif()
