// SPDX-License-Identifier: Apache-2.0
// The Python module pollard._core: one function that runs a command line in this process. The package over it
// (pollard/__init__.py) gives it arguments and reads its JSON, so that Python and the program do the same things, with
// the same checks and the same errors.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <sstream>
#include <streambuf>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/version.h"
#include "models/io/cancel.h"

namespace {

namespace py = pybind11;
using Listener = std::function<void(const std::string&)>;

/// Narration, handed to Python line by line as it is written; Ctrl-C is looked for at each.
class Lines : public std::streambuf {
 public:
  explicit Lines(Listener listener) : listener_(std::move(listener)) {}
  const std::string& text() const { return text_; }
  bool interrupted() const { return interrupted_; }

 protected:
  int_type overflow(int_type c) override {
    if (c == traits_type::eof()) return c;
    text_.push_back(static_cast<char>(c));
    if (c != '\n') {
      line_.push_back(static_cast<char>(c));
      return c;
    }
    hand_over();
    return c;
  }

 private:
  void hand_over() {
    const std::string line = std::exchange(line_, {});
    const py::gil_scoped_acquire python;
    try {
      if (listener_) listener_(line);
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    } catch (py::error_already_set&) {  // a listener's own mistake, or Ctrl-C: the work ends at its next step
      interrupted_ = true;
      pollard::models::io::request_cancel();
    }
  }

  Listener listener_;
  std::string text_, line_;
  bool interrupted_ = false;
};

struct Done {
  int exit;
  std::string out, err;
};

Done run(const std::vector<std::string>& arguments, const Listener& listener) {
  std::ostringstream out;
  Lines lines(listener);
  std::ostream err(&lines);
  pollard::models::io::request_cancel(false);
  int exit = 0;
  {
    const py::gil_scoped_release others;
    exit = pollard::cli::run(arguments, {.out = out, .err = err, .out_terminal = {}, .err_terminal = {}});
  }
  pollard::models::io::request_cancel(false);
  if (lines.interrupted()) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw py::error_already_set();
  }
  return {exit, out.str(), lines.text()};
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "pollard's command line, run in this process";
  m.def(
      "run",
      [](const std::vector<std::string>& arguments, const Listener& listener) {
        const Done done = run(arguments, listener);
        return py::make_tuple(done.exit, done.out, done.err);
      },
      py::arg("arguments"), py::arg("listener") = Listener(),
      "Runs a command line without the program's name; returns its exit status, its output and its "
      "narration. Each "
      "line of narration also goes to the listener while the work is on.");
  m.def("version", &pollard::cli::version, "The version, with the commit it was built from.");
  m.attr("torch_version") = POLLARD_TORCH_VERSION;
}
