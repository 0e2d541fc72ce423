// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "cli/command_line.h"
#include "cli/commands/generate.h"
#include "cli/model_input.h"
#include "cli/parse_errors.h"
#include "cli/ui/text.h"
#include "models/data/byte_bpe.h"
#include "models/generate.h"
#include "models/io/json.h"

namespace pollard::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, prompt, tokenizer;
  std::vector<std::int64_t> ids, stop;
  models::GenerateOptions generate;
  bool no_cache = false;
  ModelInput input;
};

fs::path folder_of(const std::string& model) {
  std::error_code error;
  return fs::is_directory(model, error) ? fs::path(model) : fs::path(model).parent_path();
}

/// A text keeps its lines; nothing in them drives the terminal.
std::string printable_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (const std::string& line : split(text, '\n')) lines.push_back(printable(line));
  return join(lines, "\n");
}

void check(const Options& options) {
  if (options.prompt.empty() == options.ids.empty())
    throw usage_error("E0206", "generate", "takes either --prompt or --ids");
  if (options.generate.temperature < 0 || options.generate.top_p <= 0 || options.generate.top_p > 1)
    throw usage_error("E0203", "generate", "--temperature is at least 0, --top-p between 0 and 1");
}

Exit run_generate(Options options, Context& context) {
  check(options);
  std::optional<models::ByteBpe> tokenizer;
  if (options.ids.empty()) {
    tokenizer = models::ByteBpe::from_folder(options.tokenizer.empty() ? folder_of(options.model)
                                                                       : fs::path(options.tokenizer));
    options.ids = tokenizer->ids(options.prompt);
  }
  options.generate.seed = context.globals().seed;
  options.generate.cache = !options.no_cache;
  options.generate.stop = options.stop.empty() ? ends_of(options.model) : options.stop;
  const models::Model model = load_model(options.model, options.input);
  const models::Generator generator(model, options.generate.cache);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::int64_t> made = generator.run(options.ids, options.generate);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  std::vector<std::string> numbers;
  for (const std::int64_t id : made) numbers.push_back(std::to_string(id));
  const std::string text = tokenizer ? tokenizer->text(made) : join(numbers, ",");
  const double rate = static_cast<double>(made.size()) / std::max(seconds, 1e-9);
  if (context.json())
    context.print_json({{"prompt_ids", options.ids},
                        {"ids", made},
                        {"text", tokenizer ? Json(text) : Json()},
                        {"seconds", seconds}});
  else
    context.print(printable_lines(text) + "\n");
  context.note(fmt::format("{} tokens after {}, {:.1f} a second", made.size(), options.ids.size(), rate));
  return Exit::Ok;
}

}  // namespace

std::vector<std::int64_t> ends_of(const std::string& model) {
  const fs::path path = folder_of(model) / "config.json";
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  const auto config = models::io::parse_json(read_text_file(path.string()), path.string());
  const auto end = config.is_object() ? config.find("eos_token_id") : config.end();
  std::vector<std::int64_t> out;
  if (end == config.end()) return out;
  for (const auto& id : end->is_array() ? *end : nlohmann::json::array({*end}))
    if (id.is_number_integer()) out.push_back(id.get<std::int64_t>());
  return out;
}

void add_generate(CommandLine& line) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      line.add({.name = "generate",
                .section = "Judge",
                .purpose = "continue a text with a decoder language model",
                .examples = {"pollard generate gpt2/model.safetensors --prompt 'The fox'",
                             "pollard generate gpt2/model.safetensors --ids 15,27,3 --max-tokens 5",
                             "pollard generate gpt2/model.safetensors --prompt Foxes --temperature 0.8"}},
               [options](Context& context) { return run_generate(*options, context); });
  app->add_option("MODEL", options->model, "the model: ids in, logits out, causal attention")
      ->type_name("FILE")
      ->required();
  app->add_option("--prompt", options->prompt, "the text to continue; needs the model's tokenizer")
      ->type_name("TEXT");
  app->add_option("--ids", options->ids, "its token ids instead, separated by commas")
      ->type_name("IDS")
      ->delimiter(',');
  app->add_option("--max-tokens", options->generate.max_tokens, "at most this many new tokens")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  app->add_option("--tokenizer", options->tokenizer, "folder of the tokenizer, when not beside the model")
      ->type_name("FOLDER");
  app->add_option("--stop", options->stop, "token ids that end the text; else config.json's eos_token_id")
      ->type_name("IDS")
      ->delimiter(',');
  app->add_option("--temperature", options->generate.temperature,
                  "0 takes the likeliest; above 0 draws by --seed")
      ->type_name("T")
      ->group("Drawing");
  app->add_option("--top-k", options->generate.top_k, "draw among the K likeliest; 0 = all")
      ->type_name("K")
      ->check(CLI::Range(0, 1 << 24))
      ->group("Drawing");
  app->add_option("--top-p", options->generate.top_p, "draw among the likeliest that reach this share")
      ->type_name("P")
      ->group("Drawing");
  app->add_flag("--no-cache", options->no_cache, "run the whole text for every token")->group("More");
  add_model_options(*app, options->input);
}

}  // namespace pollard::cli
