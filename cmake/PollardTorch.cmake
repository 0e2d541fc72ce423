# SPDX-License-Identifier: Apache-2.0
# Target pollard::torch: LibTorch out of a Python wheel, as plain imported libraries.
# find_package(Torch) is avoided: it probes for a GPU, edits CMAKE_CUDA_FLAGS and links libtorch_cuda, which this
# project loads at run time only where a GPU is used.

set(TORCH_ROOT "" CACHE PATH "The torch folder of a wheel: has include/ and lib/libtorch_cpu.so")
if(NOT TORCH_ROOT)
  file(GLOB candidates "${PROJECT_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/torch")
  if(Python_EXECUTABLE)
    execute_process(COMMAND "${Python_EXECUTABLE}" -c
      "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
      OUTPUT_VARIABLE from_python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(PREPEND candidates ${from_python})
  endif()
  list(POP_FRONT candidates first)
  set_property(CACHE TORCH_ROOT PROPERTY VALUE "${first}")
endif()
if(NOT EXISTS "${TORCH_ROOT}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found (TORCH_ROOT='${TORCH_ROOT}'): run ./bootstrap build, "
                      "or pass -DTORCH_ROOT=<site-packages>/torch")
endif()
message(STATUS "LibTorch: ${TORCH_ROOT}")

set(torch_libraries c10 torch_cpu)
if(POLLARD_HAVE_CUDA)
  list(APPEND torch_libraries c10_cuda)
endif()
add_library(pollard_torch INTERFACE)
add_library(pollard::torch ALIAS pollard_torch)
foreach(name IN LISTS torch_libraries)
  add_library(torch_${name} SHARED IMPORTED)
  set_target_properties(torch_${name} PROPERTIES IMPORTED_LOCATION "${TORCH_ROOT}/lib/lib${name}.so")
  target_link_libraries(pollard_torch INTERFACE torch_${name})
endforeach()

# One OpenMP runtime in the process: the one LibTorch brings (older wheels add a hash to its name).
file(GLOB openmp "${TORCH_ROOT}/lib/libgomp*.so*")
list(GET openmp 0 openmp)
target_link_libraries(pollard_torch INTERFACE "${openmp}")

# The wheel carries its own fmt headers; ours must win, because we link Debian's libfmt.
set(first_include "${PROJECT_BINARY_DIR}/include_first")
file(MAKE_DIRECTORY "${first_include}")
find_path(POLLARD_FMT_INCLUDE fmt/format.h PATHS /usr/include NO_DEFAULT_PATH REQUIRED)
file(CREATE_LINK "${POLLARD_FMT_INCLUDE}/fmt" "${first_include}/fmt" SYMBOLIC)
target_include_directories(pollard_torch SYSTEM INTERFACE
  "${first_include}" "${TORCH_ROOT}/include" "${TORCH_ROOT}/include/torch/csrc/api/include")

# LibTorch's headers are only consistent with its release libraries when NDEBUG is defined.
# Our own invariants are POLLARD_CHECKs, which are always on.
target_compile_definitions(pollard_torch INTERFACE NDEBUG)
# --no-as-needed: operators register themselves from static initialisers nobody calls.
# --allow-shlib-undefined: libc10_cuda and friends resolve their own needs at run time.
target_link_options(pollard_torch INTERFACE -Wl,--no-as-needed -Wl,--allow-shlib-undefined)
# The wheel's CUDA runtime, when installed, is newer than the toolkit's and must be found first. A property and not a linker
# flag: installing replaces the run paths CMake knows of, and only those.
set(POLLARD_TORCH_RPATH "${TORCH_ROOT}/../nvidia/cu13/lib" "${TORCH_ROOT}/lib")
set(CMAKE_BUILD_RPATH ${POLLARD_TORCH_RPATH})
