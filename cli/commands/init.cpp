// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/built_in.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/model_input.h"
#include "cli/ui/format.h"
#include "models/registry.h"

namespace pollard::cli {
namespace {

struct Options {
  std::string name, out, spec_file;
  bool force = false;
};

Exit run_init(const Options& options, Context& context) {
  models::check_save_path(options.out, {}, options.force);
  const models::BuiltIn chosen = built_in(options.name, options.spec_file);
  const models::Model model = models::fresh_model(*chosen.family, chosen.spec_json, context.globals().seed);
  models::save(model, options.out, {.force = options.force});
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(options.out));
  if (context.json())
    context.print_json({{"family", chosen.family->name},
                        {"spec", Json::parse(model.spec_json)},
                        {"output", options.out},
                        {"bytes", bytes}});
  context.report(fmt::format("wrote     {}  {}  (fresh weights of seed {})", options.out,
                             format_bytes(static_cast<double>(bytes)), context.globals().seed));
  context.next("pollard inspect " + options.out);
  return Exit::Ok;
}

}  // namespace

void add_init(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app = line.add(
      {.name = "init",
       .section = "Setup",
       .purpose = "a built-in network with fresh weights, as its paper says",
       .examples = {"pollard init resnet50 fresh.pt2", "pollard init bert fresh.safetensors --spec spec.json",
                    "pollard init resnet18 fresh.pt2 --seed 7"}},
      [options](Context& context) { return run_init(*options, context); });
  app->add_option("NAME", options->name, "a family or a published size, as pollard models lists them")
      ->type_name("NAME")
      ->required();
  app->add_option("OUT", options->out, "the model: .pt2 or .safetensors")->type_name("FILE")->required();
  app->add_option("--spec", options->spec_file, "JSON file with sizes that replace the defaults")
      ->type_name("FILE");
  app->add_flag("--force", options->force, "replace an existing OUT")->group("Safety");
}

}  // namespace pollard::cli
