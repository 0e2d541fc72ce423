// SPDX-License-Identifier: Apache-2.0
#include "cli/model_input.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <span>

#include "cli/ui/format.h"
#include "cli/ui/text.h"
#include "models/io/atomic_file.h"
#include "models/io/cancel.h"
#include "models/io/file.h"

namespace pollard::cli {
namespace {

constexpr std::uint64_t largest_text = std::uint64_t{64} << 20;

class Stopwatch {
 public:
  std::string text() const {
    return format_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void add_model_options(CLI::App& app, ModelInput& input, const std::string& group) {
  app.add_option("--family", input.family, "built-in family of a checkpoint, when not recognised")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--spec", input.spec_file, "JSON file with that family's spec")
      ->type_name("FILE")
      ->group("More");
  app.add_option("--key", input.key, "where in a .pt file the weights are, such as model")
      ->type_name("KEY")
      ->group(group);
  app.add_flag("--skip-crc", input.skip_crc, "do not verify the archive's checksums")->group("More");
}

models::Model load_model(const std::string& path, const ModelInput& input) {
  const Stopwatch watch;
  models::LoadOptions options{
      .family = input.family, .spec_json = {}, .key = input.key, .check_crc = !input.skip_crc};
  if (!input.spec_file.empty()) options.spec_json = read_text_file(input.spec_file);
  models::Model model = models::load(path, options);
  models::io::throw_if_cancelled();
  spdlog::info("read {}: {}, {} ops, in {}", printable(path), model.format, model.program.ops.size(),
               watch.text());
  return model;
}

AnalysedModel load_and_analyse(const std::string& path, const ModelInput& input) {
  AnalysedModel out{.path = path, .model = load_model(path, input), .dependencies = {}};
  const Stopwatch watch;
  out.dependencies = graph::analyse(out.model.program);
  models::io::throw_if_cancelled();
  spdlog::info("analysed {}: {} groups in {}", printable(path), out.dependencies.groups.size(), watch.text());
  return out;
}

std::string shape_text(const std::vector<graph::Size>& shape) {
  std::string out;
  for (const graph::Size& size : shape) {
    out += (out.empty() ? "" : "x") + (size.symbolic() ? size.expr + "=" : "") + std::to_string(size.hint);
  }
  return out.empty() ? "scalar" : out;
}

std::string input_shapes(const graph::Program& program) {
  std::vector<std::string> shapes;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant) shapes.push_back(shape_text(program[input->value].shape));
  return join(shapes, ", ");
}

std::string read_text_file(const std::string& path) {
  const std::vector<std::byte> bytes = models::io::read_file(path, largest_text);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void check_text_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs,
                        bool force) {
  const std::vector<std::filesystem::path> paths(inputs.begin(), inputs.end());
  for (const std::string& output : outputs)
    if (!output.empty()) models::io::check_output_path(output, paths, force);
}

void write_text_file(const std::string& path, const std::string& text, bool force) {
  models::io::AtomicFile file(path, {.force = force, .expected_size = text.size(), .calls = nullptr});
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace pollard::cli
