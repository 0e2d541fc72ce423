// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>

namespace pollard::models::io {

/// What the errno of a failed write means to a user.
inline bool disk_is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }  // E0501
inline bool may_not_write(int error) { return error == EACCES || error == EPERM || error == EROFS; }  // E0503

}  // namespace pollard::models::io
