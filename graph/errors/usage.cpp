// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "graph/error_catalog.h"

namespace pollard::errors {
namespace {

constexpr auto kEntries = std::to_array<ErrorEntry>({
    {"E0201", Exit::Usage, "unknown command",
     "The first word after the program's options is not one of its commands. Commands are English "
     "verbs; the nearest spelling is suggested.",
     "error[E0201] unknown command \"purne\"; did you mean \"prune\"?", "See the list: pollard --help."},
    {"E0202", Exit::Usage, "unknown option",
     "The command does not have this option. Options of one command are not options of all.",
     "error[E0202] prune: unknown option \"--ration\"; did you mean \"--ratio\"?",
     "See the command's options: pollard COMMAND --help."},
    {"E0203", Exit::Usage, "a value that cannot be used",
     "An option or argument was given a value of the wrong form or out of its range, a name the model"
     " does not have, or inputs that do not fit it.",
     "error[E0203] --ratio: 1.5 is not between 0 and 1",
     "Give a value of the form the message names; pollard inspect MODEL lists the names of a model."},
    {"E0204", Exit::Usage, "missing or unexpected argument",
     "The command got fewer or more arguments than it takes.",
     "error[E0204] prune: unexpected argument \"extra.pt\"", "See the usage line: pollard COMMAND --help."},
    {"E0206", Exit::Usage, "options that exclude or need each other",
     "Two options were given that contradict each other, or one was given without the other it "
     "belongs to.",
     "error[E0206] plan: --ratio excludes --params",
     "Keep one of them; the help text of each says what it goes with."},
    {"E0207", Exit::Usage, "no target",
     "Planning and pruning need to know how far to go: a share of the units, a number of parameters "
     "or operations, or a speed-up.",
     "error[E0207] prune: needs a target: one of --speedup, --ratio, --params, --macs",
     "Give one of them, for example --ratio 0.3."},
    {"E0208", Exit::Usage, "unknown criterion",
     "The importance criterion or one of its settings does not exist.",
     "error[E0208] --criterion magnitud: unknown criterion", "See the list: pollard prune --help."},
    {"E0209", Exit::Usage, "bad configuration file",
     "The TOML file given with --config cannot be read as one: option names as keys, one [table] for "
     "each command.",
     "error[E0209] --config: line 3: expected a value",
     "Mend the line the message names, or leave --config out."},
    {"E0210", Exit::Usage, "the criterion needs samples",
     "The importance criterion judges units by what flows through the network, so it needs samples; or by "
     "a loss over labels, and the samples carry none; or by measurements of another command.",
     "error[E0210] --criterion least-squares: needs samples to judge units by",
     "Give samples with --calib FILE, or take a criterion of the weights alone, such as magnitude."},
    {"E0211", Exit::Usage, "scores are no errors",
     "Widths can be chosen by predicted error only when the criterion's scores are errors on one scale, so "
     "that they add "
     "up over the units of a group.",
     "error[E0211] --scope predicted: the scores of magnitude are no errors that add up",
     "Take --criterion least-squares, or measure the errors: --scope measured --calib FILE."},
    {"E0212", Exit::Usage, "unknown augmentation",
     "The list of --augment names a step that is not known, or its arguments are not what the step takes.",
     "error[E0212] RandomCop: is no known augmentation",
     "Write names and arguments as torchvision does: RandomCrop(28,padding=4),RandomHorizontalFlip()."},
    {"E0214", Exit::Usage, "no checkpoint to resume from",
     "--resume goes on from the checkpoint beside the output, and there is none: the run never began, or it "
     "came to "
     "its end and its checkpoint was removed.",
     "error[E0214] --resume: there is no checkpoint out.pt2.checkpoint",
     "Start without --resume, or name the file with --checkpoint."},
    {"E0215", Exit::Usage, "training diverged",
     "The loss became infinite or no number. Nothing can be learned from there on; the checkpoint of the "
     "last epoch is "
     "as it was.",
     "error[E0215] the loss is no finite number any more at epoch 2, step 31",
     "Lower --lr, let it rise with --warmup, or bound the gradients with --clip."},
    {"E0220", Exit::Usage, "no output name",
     "The output path is empty or ends in a slash, so it names a folder and no file.",
     "error[E0220] out/: names no output file", "Give a file name."},
    {"E0221", Exit::Usage, "output is a directory",
     "A folder of the output's name exists. It is never replaced, with --force neither.",
     "error[E0221] out: is a directory", "Name a file inside it."},
    {"E0222", Exit::Usage, "output is a link or a device",
     "The output path is a symbolic link or something else than a regular file. Links are not "
     "followed when writing, so that no file elsewhere can be replaced by surprise.",
     "error[E0222] latest.pt2: is a symbolic link", "Name the file the link points to."},
    {"E0223", Exit::Usage, "output is also an input",
     "Output and input are the same file, perhaps under two names (hard links count). It is not "
     "written over, with --force neither: the original would be lost.",
     "error[E0223] model.pt2: is also an input", "Write to another name."},
    {"E0224", Exit::Usage, "output exists",
     "A file of the output's name exists already. Nothing was computed yet when this is noticed, "
     "except when another program made the file meanwhile.",
     "error[E0224] out.pt2: exists already", "Choose another name, or replace the file with --force."},
    {"E0225", Exit::Usage, "output folder is missing", "The folder the output should be in does not exist.",
     "error[E0225] runs/1/out.pt2: its folder \"runs/1\" does not exist", "Create it: mkdir -p FOLDER."},
    {"E0226", Exit::Usage, "unknown output format",
     "The format of the output follows from its extension, and this one is not known.",
     "error[E0226] out.bin: the output's extension says no known format",
     "End the name in .pt2 (opens with torch.export.load) or .safetensors."},
});

}  // namespace

std::span<const ErrorEntry> usage() { return kEntries; }

}  // namespace pollard::errors
