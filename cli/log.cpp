// SPDX-License-Identifier: Apache-2.0
#include "cli/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <vector>

#include "cli/context.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

spdlog::level::level_enum level_for(const Globals& globals) {
  if (globals.quiet) return spdlog::level::err;
  if (globals.verbosity >= 2) return spdlog::level::debug;
  return globals.verbosity == 1 ? spdlog::level::info : spdlog::level::warn;
}

spdlog::sink_ptr file_sink(const std::string& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    sink->set_level(spdlog::level::trace);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    return sink;
  } catch (const spdlog::spdlog_ex& error) {
    throw UserError({.code = "E0505",
                     .exit = Exit::Environment,
                     .subject = path,
                     .message = "the log file cannot be written",
                     .where = {},
                     .why = error.what(),
                     .help = "give --log-file a path in a folder you may write to"});
  }
}

}  // namespace

void set_up_log(const Globals& globals, std::ostream& err) {
  auto terminal = std::make_shared<spdlog::sinks::ostream_sink_mt>(err, true);
  terminal->set_level(level_for(globals));
  terminal->set_pattern("%v");
  std::vector<spdlog::sink_ptr> sinks{terminal};
  if (!globals.log_file.empty()) sinks.push_back(file_sink(globals.log_file));
  auto logger = std::make_shared<spdlog::logger>("pollard", sinks.begin(), sinks.end());
  logger->set_level(globals.log_file.empty() ? level_for(globals) : spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(logger);
}

void shut_down_log() {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("pollard", std::make_shared<spdlog::sinks::null_sink_mt>()));
}

}  // namespace pollard::cli
