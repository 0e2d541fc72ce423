// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

/// The one line of Python that turns a PyTorch file this program does not read into one it does.
namespace pollard::models::io {

enum class OldFormat {
  Legacy,       ///< torch.save before 1.6: consecutive pickles
  Tar,          ///< torch.save before 0.1.10
  TorchScript,  ///< torch.jit.save
  Protocol,     ///< torch.save(..., pickle_protocol=4)
  Module,       ///< torch.save(model): the whole object with its classes
  Export        ///< torch.export.save before the archive had a root directory
};

/// A shell command that reads `file` and writes FILE.safetensors (FILE.new.pt2 for Export) beside it. Only a
/// format that needs it is read without weights_only, and then the text says that the file must be trusted.
std::string conversion_command(OldFormat format, const std::string& file);

/// Throws E0336.
[[noreturn]] void refuse_format(OldFormat format, const std::string& file, const std::string& where);
[[noreturn]] void refuse_protocol(const std::string& file, const std::string& entry, int protocol);

}  // namespace pollard::models::io
