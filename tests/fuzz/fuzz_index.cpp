// SPDX-License-Identifier: Apache-2.0
// Any bytes as an index of shards: refused before any file but those of its own folder is opened. And as symbolic sizes,
// whose text must never reach a Python that would evaluate it: what is read reads again.
#include "models/io/shards.h"
#include "models/io/symbolic_text.h"
#include "tests/fuzz/target.h"

namespace io = pollard::models::io;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const pollard::fuzz::Folder folder;
  const std::string_view text = pollard::fuzz::text(data, size);
  pollard::fuzz::read_or_refuse(
      [&] { io::open_shards(folder.write("model.safetensors.index.json", text), false); });
  io::SymbolAssumptions symbols;
  if (const auto expression = io::read_symbolic(text, symbols)) {
    const std::string written = io::write_symbolic(*expression, symbols);
    io::SymbolAssumptions again;
    POLLARD_CHECK(io::read_symbolic(written, again) == expression,
                  "\"" + written + "\" does not read as " + *expression);
  }
  return 0;
}
