// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <ostream>
#include <system_error>

#include "cli/command_line.h"
#include "cli/log.h"
#include "cli/runtime.h"
#include "cli/stage_bars.h"
#include "cli/ui/error_printer.h"
#include "cli/ui/text.h"
#include "kernels/communicator.h"
#include "kernels/out_of_memory.h"

namespace pollard::cli {
namespace {

// Global options as far as they can be known when parsing itself has failed.
bool asks_for_json(std::span<const std::string> arguments) {
  return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

struct Failure {
  UserError::Parts parts;
  std::string text;  ///< as printed
};

void show(const Failure& failure, bool json, Streams& streams) {
  streams.err << failure.text << std::flush;
  spdlog::debug("{}", failure.text);
  if (!json) return;
  const auto& p = failure.parts;
  streams.out << dump(Json{{"schema", "pollard.error/1"},
                           {"code", p.code},
                           {"subject", p.subject},
                           {"message", p.message},
                           {"where", p.where},
                           {"why", p.why},
                           {"help", p.help},
                           {"exit", static_cast<int>(p.exit)}})
              << "\n"
              << std::flush;
}

Failure bug(const char* what, std::span<const std::string> arguments, int width, const Theme& theme) {
  const std::string line = "pollard " + join({arguments.begin(), arguments.end()}, " ");
  UserError::Parts parts{
      .code = "", .exit = Exit::Bug, .subject = {}, .message = what, .where = line, .why = {}, .help = {}};
  return {parts, format_bug(what, line, width, theme)};
}

Failure out_of_memory(int width, const Theme& theme) {
  UserError::Parts parts{.code = "E0504",
                         .exit = Exit::Environment,
                         .subject = {},
                         .message = "out of memory",
                         .where = {},
                         .why = {},
                         .help = "close other programs, or try a smaller --batch or --device cpu"};
  return {parts, format_error(parts, width, theme)};
}

// The exception being handled, as what the user is told.
Failure current_failure(std::span<const std::string> arguments, int width, const Theme& theme) {
  try {
    throw;
  } catch (const UserError& error) {
    return {error.parts(), format_error(error.parts(), width, theme)};
  } catch (const std::bad_alloc&) {
    return out_of_memory(width, theme);
  } catch (const std::system_error& error) {
    // A thread needs a stack of its own.
    const bool memory = error.code() == std::errc::resource_unavailable_try_again ||
                        error.code() == std::errc::not_enough_memory;
    return memory ? out_of_memory(width, theme) : bug(error.what(), arguments, width, theme);
  } catch (const c10::Error& error) {
    return kernels::is_out_of_memory(error) ? out_of_memory(width, theme)
                                            : bug(error.what(), arguments, width, theme);
  } catch (const std::exception& error) {
    return bug(error.what(), arguments, width, theme);
  } catch (...) {
    return bug("an exception of unknown type", arguments, width, theme);
  }
}

// Of the processes of a job the first speaks; what goes wrong all tell (run() below).
Exit run_command(CommandLine& line, Streams& streams) {
  if (line.selected() == nullptr) {
    streams.err << line.help();
    return Exit::Usage;
  }
  Globals globals = line.globals();
  static std::ostream nowhere(nullptr);  // the log keeps it
  Streams heard{.out = speaks() ? streams.out : nowhere,
                .err = speaks() ? streams.err : nowhere,
                .out_terminal = streams.out_terminal,
                .err_terminal = streams.err_terminal};
  if (!speaks()) globals.log_file.clear();
  set_up_log(globals, heard.err);
  for (const std::string& source : line.option_sources()) spdlog::info("{}", source);
  apply_runtime(globals);
  Context context(heard, globals, line.selected()->get_name());
  const StageBars bars(context);
  return line.action()(context);
}

Exit parse_and_run(CommandLine& line, std::span<const std::string> arguments, Streams& streams) {
  try {
    line.parse(arguments);
  } catch (const CLI::CallForVersion&) {
    streams.out << version_text() << std::flush;
    return Exit::Ok;
  } catch (const CLI::CallForAllHelp&) {
    streams.out << line.help_all() << std::flush;
    return Exit::Ok;
  } catch (const CLI::Success&) {
    streams.out << line.help() << std::flush;
    return Exit::Ok;
  }
  return run_command(line, streams);
}

}  // namespace

int run(std::span<const std::string> arguments, Streams streams) {
  CommandLine line;
  Exit exit = Exit::Ok;
  try {
    add_commands(line);
    exit = parse_and_run(line, arguments, streams);
  } catch (...) {
    const bool colored = use_color(color_mode(line.globals().color), streams.err_terminal);
    const Failure failure =
        current_failure(arguments, streams.err_terminal.width, colored ? Theme::ansi() : Theme{});
    show(failure, line.globals().json || asks_for_json(arguments), streams);
    exit = failure.parts.exit;
  }
  shut_down_log();
  // The other processes of a job wait for this one: they end with it.
  if (exit != Exit::Ok && kernels::launched_processes() > 1) kernels::world().abort(static_cast<int>(exit));
  return static_cast<int>(exit);
}

}  // namespace pollard::cli
