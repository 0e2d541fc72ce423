// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace pollard::models::io {

/// Whether `root` may be the one root directory of an archive: a single path component of printable UTF-8
/// (torch.save names it after the file, so it may hold spaces and letters of any script).
bool is_root_name(std::string_view root);

/// Whether `name` may be an entry below the root: "part/part", each of letters, digits, '.', '_' and '-',
/// none "." or "..", at most 1 KiB. Such a name is harmless on any system even if someone unpacks the
/// archive.
bool is_entry_name(std::string_view name);

}  // namespace pollard::models::io
