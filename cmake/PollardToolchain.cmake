# SPDX-License-Identifier: Apache-2.0
# Build type, language level, compiler launcher, linker, warnings and sanitizers: target pollard_options.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
endif()
# -O3 costs build time in LibTorch's headers and buys nothing here: the arithmetic runs inside LibTorch.
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(POLLARD_CCACHE ccache)
if(POLLARD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${POLLARD_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${POLLARD_CCACHE}")
endif()
find_program(POLLARD_MOLD mold)
if(POLLARD_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(pollard_options INTERFACE)
target_include_directories(pollard_options INTERFACE "${PROJECT_SOURCE_DIR}")
# Checked vector and string access, also in release builds: most of what is read here was written by others.
target_compile_definitions(pollard_options INTERFACE _GLIBCXX_ASSERTIONS)
target_compile_options(pollard_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wnon-virtual-dtor;-Woverloaded-virtual;-Werror>
  # Designated initialisers leave members at their defaults on purpose.
  $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall;-Xcompiler=-Wextra;-Xcompiler=-Wno-missing-field-initializers;-Werror=all-warnings>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports -Wrestrict inside std::string's operator+ (GCC bug 105651), and guesses wrongly about
  # variants and optionals at -O2.
  target_compile_options(pollard_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wshadow=local;-Wno-restrict;-Wno-error=maybe-uninitialized;-Wno-error=array-bounds;-Wno-error=stringop-overflow;-Wno-error=stringop-overread>)
else()
  # Clang cannot make CPU-specific clones of function templates and knows none of GCC's pragmas: it builds the plain
  # version. Which code is free of warnings is GCC's to say.
  target_compile_options(pollard_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Dtarget_clones\(...\)=;-Wno-error;-Wno-unknown-pragmas>)
endif()

if(POLLARD_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${POLLARD_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${POLLARD_SANITIZE})
endif()
if(POLLARD_COVERAGE)
  add_link_options(--coverage)  # what is counted: PollardSources.cmake
endif()
