// SPDX-License-Identifier: Apache-2.0
#include "cli/context.h"

#include <spdlog/spdlog.h>

#include <ostream>

#include "cli/ui/error_printer.h"
#include "cli/version.h"

namespace pollard::cli {
namespace {

Theme theme_for(const Globals& globals, const Terminal& terminal) {
  return use_color(color_mode(globals.color), terminal) ? Theme::ansi() : Theme{};
}

}  // namespace

ColorMode color_mode(const std::string& name) {
  if (name == "always") return ColorMode::Always;
  return name == "never" ? ColorMode::Never : ColorMode::Auto;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Context::Context(Streams streams, Globals globals, std::string command)
    : streams_(streams),
      globals_(std::move(globals)),
      command_(std::move(command)),
      out_theme_(theme_for(globals_, streams.out_terminal)),
      err_theme_(theme_for(globals_, streams.err_terminal)) {}

void Context::print(const Table& table) {
  print(table, globals_.quiet ? TableFormat::Tsv : TableFormat::Text);
}

void Context::print(const Table& table, TableFormat format) {
  if (!json()) streams_.out << table.render(format, width(), out_theme_) << std::flush;
}

void Context::print(const std::string& text) {
  if (!json()) streams_.out << text << std::flush;
}

void Context::report(const std::string& text) {
  if (!globals_.quiet) print(text + "\n");
}

void Context::print_json(const Json& fields) {
  Json json{{"schema", "pollard." + command_ + "/1"}, {"tool", tool_name()}};
  json.update(fields);
  if (!json.contains("warnings")) json["warnings"] = warnings_;
  streams_.out << dump(json) << "\n" << std::flush;
}

void Context::print_line(const std::string& line) { streams_.out << line << "\n" << std::flush; }

void Context::note(const std::string& text) {
  if (!globals_.quiet) streams_.err << text << "\n" << std::flush;
}

void Context::next(const std::string& command) {
  note(err_theme_.paint(err_theme_.path, "next: ") + command);
}

void Context::warn(const std::string& message) {
  warnings_.push_back(message);
  spdlog::debug("warning: {}", message);
  streams_.err << format_warning(message, streams_.err_terminal.width, err_theme_) << std::flush;
}

Progress Context::progress(const std::string& label, std::int64_t total, const std::string& unit) {
  return {streams_.err,
          label,
          total,
          {.enabled = !globals_.no_progress && !globals_.quiet,
           .tty = streams_.err_terminal.tty,
           .width = streams_.err_terminal.width,
           .unit = unit,
           .clock = {}}};
}

}  // namespace pollard::cli
