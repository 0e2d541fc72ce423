// SPDX-License-Identifier: Apache-2.0
#include "models/io/convert_help.h"

#include <utility>

#include "graph/error.h"

namespace pollard::models::io {
namespace {

std::string shell_quoted(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/' || c == '+' || c == '=';
  };
  bool safe = !text.empty() && text[0] != '-';
  std::string out = "'";
  for (const char c : text) {
    safe = safe && plain(c);
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return safe ? text : out + "'";
}

std::string without_extension(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  const std::size_t slash = file.rfind('/');
  return dot == std::string::npos || (slash != std::string::npos && dot < slash) ? file : file.substr(0, dot);
}

const char* description(OldFormat format) {
  switch (format) {
    case OldFormat::Legacy: return "a PyTorch file in the format from before version 1.6";
    case OldFormat::Tar: return "a PyTorch file in the tar format from before version 0.1.10";
    case OldFormat::TorchScript: return "a TorchScript archive, which is a program and not only weights";
    case OldFormat::Protocol: return "a PyTorch file pickled with another protocol than 2";
    case OldFormat::Module: return "a whole pickled module, which needs its Python classes, not a state dict";
    case OldFormat::Export: return "a torch.export archive in the format of an older PyTorch";
  }
  return "";
}

/// The Python expression that gives a state dict.
std::string state_dict_expression(OldFormat format) {
  const std::string load = "torch.load(sys.argv[1],map_location='cpu',weights_only=";
  switch (format) {
    case OldFormat::Legacy: return load + "True)";
    case OldFormat::TorchScript: return "torch.jit.load(sys.argv[1],map_location='cpu').state_dict()";
    case OldFormat::Module: return load + "False).state_dict()";
    case OldFormat::Tar:
    case OldFormat::Protocol: return load + "False)";
    case OldFormat::Export: break;
  }
  return "";
}

}  // namespace

std::string conversion_command(OldFormat format, const std::string& file) {
  if (format == OldFormat::Export)
    return "python3 -c \"import sys,torch; torch.export.save(torch.export.load(sys.argv[1]),sys.argv[2])\" " +
           shell_quoted(file) + " " + shell_quoted(without_extension(file) + ".new.pt2");
  return "python3 -c \"import sys,torch; from safetensors.torch import save_file; d=" +
         state_dict_expression(format) +
         "; d=d.get('state_dict',d); save_file({k:v.clone().contiguous() for k,v in d.items() "
         "if torch.is_tensor(v)},sys.argv[2])\" " +
         shell_quoted(file) + " " + shell_quoted(without_extension(file) + ".safetensors");
}

void refuse_format(OldFormat format, const std::string& file, const std::string& where) {
  std::string help = "convert it: " + conversion_command(format, file);
  if (format != OldFormat::Legacy)
    help += "   (this runs code from the file: only if you trust where it comes from)";
  throw UserError({.code = "E0336",
                   .exit = Exit::BadFile,
                   .subject = file,
                   .message = description(format),
                   .where = where,
                   .why = "only files that can be read without running code are read",
                   .help = std::move(help)});
}

void refuse_protocol(const std::string& file, const std::string& entry, int protocol) {
  refuse_format(OldFormat::Protocol, file, "entry " + entry + ", protocol " + std::to_string(protocol));
}

}  // namespace pollard::models::io
