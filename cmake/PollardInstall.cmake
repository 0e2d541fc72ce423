# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` and CPack put on a machine, in components:
#   program  bin/pollard and the parts of LibTorch it needs, in lib/pollard
#   library  libpollard.so, the public headers, find_package(pollard), pkg-config
#   python   the module of the Python package (cmake/PollardPython.cmake)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# One shared library of all layers but the command line.
add_library(pollard_shared SHARED cmake/shared_library.cpp)
set_target_properties(pollard_shared PROPERTIES OUTPUT_NAME pollard VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} LINKER_LANGUAGE CXX
  INSTALL_RPATH "$ORIGIN/pollard;${POLLARD_TORCH_RPATH}" BUILD_RPATH_USE_ORIGIN ON)
target_link_libraries(pollard_shared PRIVATE pollard::training)
set_property(TARGET pollard_shared PROPERTY LINK_LIBRARY_OVERRIDE
             "WHOLE_ARCHIVE,pollard_graph,pollard_kernels,pollard_models,pollard_pruning,pollard_training")
if(NOT POLLARD_TESTS)
  set_target_properties(pollard_shared PROPERTIES EXCLUDE_FROM_ALL ON)
endif()

# The headers people include, and those they include in turn: nothing else is promised.
set(public_headers graph/coupling_graph.h graph/cost.h graph/dependencies.h graph/error.h graph/error_catalog.h
    graph/program.h graph/removal.h kernels/executor.h models/model.h models/onnx/export.h
    pruning/calibration.h pruning/criteria/options.h pruning/criteria/slabs.h pruning/plan.h pruning/precision.h
    pruning/repair.h pruning/rewrite.h pruning/scores.h pruning/verify.h)
set(pending ${public_headers})
while(pending)
  list(POP_FRONT pending header)
  file(STRINGS "${PROJECT_SOURCE_DIR}/${header}" lines REGEX "^#include \"")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include \"([^\"]*)\".*" "\\1" included "${line}")
    if(NOT included IN_LIST public_headers)
      list(APPEND public_headers "${included}")
      list(APPEND pending "${included}")
    endif()
  endforeach()
endwhile()
foreach(header IN LISTS public_headers)
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/pollard/${folder}" COMPONENT library)
endforeach()

configure_file(cmake/pollard.pc.in "${PROJECT_BINARY_DIR}/pollard.pc" @ONLY)
configure_package_config_file(cmake/pollardConfig.cmake.in "${PROJECT_BINARY_DIR}/pollardConfig.cmake"
  INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/pollard" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/pollardConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(TARGETS pollard_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library OPTIONAL)
install(FILES "${PROJECT_BINARY_DIR}/pollardConfig.cmake" "${PROJECT_BINARY_DIR}/pollardConfigVersion.cmake"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/pollard" COMPONENT library)
install(FILES "${PROJECT_BINARY_DIR}/pollard.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT library)

# The program brings what it needs of LibTorch, which no distribution packages: CPU libraries and the CUDA runtime that
# they are linked with. RPATH and not RUNPATH, so that LibTorch's own libraries are found there too.
set_target_properties(pollard PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/pollard")
target_link_options(pollard PRIVATE -Wl,--disable-new-dtags)
install(TARGETS pollard RUNTIME DESTINATION bin COMPONENT program OPTIONAL)
set(bundled "${TORCH_ROOT}/lib/libtorch_cpu.so" "${TORCH_ROOT}/lib/libc10.so" "${openmp}")
if(POLLARD_HAVE_CUDA)
  list(APPEND bundled "${TORCH_ROOT}/lib/libc10_cuda.so")
endif()
foreach(name libcudart.so.13 libcupti.so.13)
  find_library(POLLARD_BUNDLE_${name} NAMES ${name} PATHS "${TORCH_ROOT}/../nvidia/cu13/lib" /usr/local/cuda/lib64
               /usr/local/cuda/lib NO_DEFAULT_PATH)
  if(POLLARD_BUNDLE_${name})
    list(APPEND bundled "${POLLARD_BUNDLE_${name}}")
  endif()
endforeach()
foreach(library IN LISTS bundled)  # by the name the loader asks for, whatever the link behind it is called
  get_filename_component(name "${library}" NAME)
  file(REAL_PATH "${library}" real)
  install(FILES "${real}" DESTINATION lib/pollard RENAME "${name}" COMPONENT program)
endforeach()
install(FILES LICENSE DESTINATION share/doc/pollard RENAME copyright COMPONENT program)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pollard)
set(CPACK_PACKAGE_VENDOR pollard)
set(CPACK_PACKAGE_CONTACT "the pollard project <pollard@invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)  # LibTorch comes stripped, and stripping it again takes a minute
set(CPACK_COMPONENTS_ALL program)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${TORCH_ROOT}/lib;/usr/local/cuda/lib64;/usr/local/cuda/lib")
include(CPack)
