// SPDX-License-Identifier: Apache-2.0
// libpollard.so is all layers linked whole (cmake/PollardInstall.cmake); CMake asks for a source of its own.
