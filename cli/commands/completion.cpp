// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/completion.h"

#include <memory>

#include "cli/command_line.h"
#include "cli/commands/commands.h"

namespace pollard::cli {
namespace {

std::string script_for(const std::string& shell, const CLI::App& root) {
  if (shell == "bash") return bash_completion(root);
  return shell == "zsh" ? zsh_completion(root) : fish_completion(root);
}

}  // namespace

void add_completion(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app =
      line.add({.name = "completion",
                .section = "Setup",
                .purpose = "a script that lets the shell complete commands and options",
                .examples = {"pollard completion bash > ~/.local/share/bash-completion/completions/pollard",
                             "pollard completion zsh > ~/.zfunc/_pollard",
                             "pollard completion fish > ~/.config/fish/completions/pollard.fish"}},
               [shell, &line](Context& context) {
                 const std::string script = script_for(*shell, line.root());
                 if (context.json()) context.print_json({{"shell", *shell}, {"script", script}});
                 context.print(script);
                 return Exit::Ok;
               });
  app->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace pollard::cli
