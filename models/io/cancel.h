// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Ctrl-C and SIGTERM as a flag that long loops look at: files are closed and temporaries removed on the way out.
namespace pollard::models::io {

/// Makes SIGINT and SIGTERM set the flag. A second signal ends the process at once. Call once, from main.
void install_cancel_signals();

bool cancel_requested();

/// Throws UserError{E0509, Exit::Interrupted} when a signal arrived.
void throw_if_cancelled();

/// Sets or clears the flag as a signal would; for tests and for hosts with their own signal handling.
void request_cancel(bool requested = true);

}  // namespace pollard::models::io
