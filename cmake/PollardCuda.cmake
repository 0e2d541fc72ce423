# SPDX-License-Identifier: Apache-2.0
# Decides POLLARD_HAVE_CUDA and enables the CUDA language.
# Code is compiled for sm_80 and sm_90, with PTX of the latter for anything newer.

set(POLLARD_HAVE_CUDA OFF)
if(NOT POLLARD_CUDA STREQUAL "OFF")
  find_program(POLLARD_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(POLLARD_NVCC)
    set(CMAKE_CUDA_COMPILER "${POLLARD_NVCC}" CACHE FILEPATH "The CUDA compiler")
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;90-virtual" CACHE STRING "CUDA architectures")
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # one runtime and one error state with LibTorch
    enable_language(CUDA)
    # CMake before 3.27 does not know that nvcc 12 and later take C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    find_package(CUDAToolkit REQUIRED)
    set(POLLARD_HAVE_CUDA ON)
  elseif(POLLARD_CUDA STREQUAL "ON")
    message(FATAL_ERROR "POLLARD_CUDA=ON but nvcc was not found: install the CUDA Toolkit or use the cpu preset")
  endif()
endif()
message(STATUS "CUDA kernels: ${POLLARD_HAVE_CUDA}")
