# SPDX-License-Identifier: Apache-2.0
# Decides POLLARD_HAVE_MPI: whether several processes can work on one job (mpirun). Only kernels/mpi/ sees MPI's headers.

set(POLLARD_HAVE_MPI OFF)
if(NOT POLLARD_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX ON)  # the C interface is enough
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(POLLARD_HAVE_MPI ON)
    file(GLOB mpi_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/mpi/*.cpp")
    set_source_files_properties(${mpi_sources} PROPERTIES INCLUDE_DIRECTORIES "${MPI_CXX_INCLUDE_DIRS}"
                                COMPILE_DEFINITIONS "OMPI_SKIP_MPICXX;MPICH_SKIP_MPICXX")
  elseif(POLLARD_MPI STREQUAL "ON")
    message(FATAL_ERROR "POLLARD_MPI=ON but MPI was not found: install libopenmpi-dev and openmpi-bin")
  endif()
endif()
message(STATUS "MPI: ${POLLARD_HAVE_MPI}")
