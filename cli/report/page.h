// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/context.h"
#include "cli/report/html.h"

namespace pollard::cli::report {

/// The document of report.h as one HTML file: nothing is loaded from elsewhere (a content security policy forbids it), and
/// without JavaScript all is there; with it the graph can be searched, zoomed, and lit up by group.
std::string page(const Json& document);

// The page's sections, each a function of the document. One that has nothing to show writes nothing.
void summary_section(Html& html, const Json& document);
void layers_section(Html& html, const Json& document);
void groups_section(Html& html, const Json& document);
void frozen_section(Html& html, const Json& document);
void curves_section(Html& html, const Json& document);
void latency_section(Html& html, const Json& document);
void network_section(Html& html, const Json& document);
void run_section(Html& html, const Json& document);

/// Opens <section id> with its heading and a sentence that says what is seen; the caller closes it.
void open_section(Html& html, const std::string& id, const std::string& heading, const std::string& lead);
/// "G03" as a link to the group, in the group's colour.
void group_chip(Html& html, const std::string& id);
/// The class that colours what belongs to a group: "c5".
std::string colour_class(const std::string& group);
/// A number of seconds, bytes, ... or a dash for null.
double number_or(const Json& value, double otherwise);

}  // namespace pollard::cli::report
