// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "graph/error_catalog.h"

namespace pollard::errors {
namespace {

constexpr auto kEntries = std::to_array<ErrorEntry>({
    {"E0301", Exit::BadFile, "storage does not fit its tensor",
     "In a PyTorch file each tensor says how large its memory is, and the memory is an entry of the "
     "archive. The two sizes differ. Reading on would mean reading past the entry's end, or guessing.",
     "error[E0301] r56.pt: storage \"data/17\" holds 4 bytes, tensor \"conv1.weight\" needs 18432",
     "Compare the file's SHA-256 with the publisher's, or download it again."},
    {"E0302", Exit::BadFile, "file cannot be opened",
     "The path does not exist, is not a regular file (a directory, pipe or device), or may not be "
     "read.",
     "error[E0302] resnet65.pt: no such file; did you mean resnet56.pt?",
     "Correct the path, or the file's permissions."},
    {"E0303", Exit::BadFile, "not a model file",
     "The first bytes belong to something else. Common cases: a Git-LFS pointer instead of the file "
     "it stands for, an HTML page instead of the download, a compressed archive, or an empty file.",
     "error[E0303] model.safetensors: not a model file; it looks like a Git-LFS pointer",
     "Fetch the real file; for Git LFS: git lfs pull."},
    {"E0304", Exit::BadFile, "file shorter than it was",
     "Bytes that were there when the file was opened cannot be read any more: it was cut or replaced "
     "meanwhile.",
     "error[E0304] m.pt: ends before 4096 bytes that should be there",
     "Wait until the program that writes it is done, then try again."},
    {"E0310", Exit::BadFile, "safetensors: bad header length",
     "A safetensors file begins with the length of its header in 8 bytes. Here it is 0, larger than "
     "the format's limit of 100,000,000, or larger than the file.",
     "error[E0310] m.safetensors: the header of 1000 bytes passes the end of the file: incomplete "
     "download?",
     "Compare the file's size with the publisher's, or download it again."},
    {"E0311", Exit::BadFile, "safetensors: bad header text",
     "The header must be a JSON object in UTF-8 that begins with '{' and is padded with spaces only, "
     "of the nesting the format has. Readers differ in what else they let pass, so nothing else is.",
     "error[E0311] m.safetensors: the header does not begin with '{'",
     "Write the file again with the safetensors library."},
    {"E0312", Exit::BadFile, "safetensors: bad entry",
     "A tensor's entry has a field twice, an unknown field, or lacks one; or a tensor or metadata key"
     " occurs twice. Of two equal keys each JSON reader keeps another one, so both places are named "
     "and the file is refused.",
     "error[E0312] m.safetensors: tensor name \"a\" occurs twice, at bytes 9 and 62",
     "Write the file again; --lenient ignores unknown fields."},
    {"E0313", Exit::BadFile, "safetensors: gaps or overlaps",
     "The data of the tensors must cover the file from the end of the header to its last byte, each "
     "byte once. Hidden bytes, overlapping tensors and a missing end are refused.",
     "error[E0313] m.safetensors: unused bytes lie between tensor \"a\" and tensor \"b\"",
     "Compare the file's SHA-256 with the publisher's, or download it again."},
    {"E0314", Exit::BadFile, "safetensors: shape and bytes differ",
     "The product of the shape and the element's size is not the number of bytes given, overflows, or"
     " the rank is above 16 or a dimension above 2^40.",
     "error[E0314] m.safetensors: shape and element type need 24 bytes, data_offsets give 4",
     "Compare the file's SHA-256 with the publisher's, or write it again."},
    {"E0315", Exit::BadFile, "bad tensor name",
     "A tensor's name is empty, longer than 1024 bytes, not text, or has control characters, which "
     "could drive a terminal.",
     "error[E0315] m.safetensors: a tensor has an empty name", "Rename the tensor in Python and save again."},
    {"E0320", Exit::BadFile, "zip: structure is ambiguous",
     "The archive's two directories disagree, entries overlap, or bytes lie before, between or after "
     "them. Two programs could see two different contents in such a file; attacks on scanners work "
     "that way.",
     "error[E0320] m.pt: 9 bytes follow the end of the zip archive",
     "Save the file again with torch.save, or download it again."},
    {"E0321", Exit::BadFile, "zip: compressed or encrypted",
     "PyTorch stores entries as they are. A compressed entry of a few bytes may unpack to more than "
     "the memory, and an encrypted one cannot be read.",
     "error[E0321] m.pt: entry \"m/data/0\" is compressed (deflate)",
     "Save it again in Python: torch.save(torch.load(f, weights_only=True), f)."},
    {"E0322", Exit::BadFile, "zip: bad names",
     "Entry names must be relative, plain and different, in one root directory. Names such as ../x or"
     " two entries of one name are what attacks are made of.",
     "error[E0322] m.pt: two entries are called \"m/data.pkl\"",
     "Save the file again with torch.save or torch.export.save."},
    {"E0323", Exit::BadFile, "zip: checksum differs",
     "The CRC-32 of an entry is not the one its header has: at least one bit changed since it was "
     "written. PyTorch itself does not check this and would load the wrong weight.",
     "error[E0323] m.pt: entry \"data/17\" fails its checksum (CRC-32)",
     "Download the file again. If it was written with torch.serialization.set_crc32_options(False), "
     "use --skip-crc."},
    {"E0324", Exit::BadFile, "zip: entry missing",
     "The archive lacks an entry every file of this format has.",
     "error[E0324] m.pt: the archive has no entry \"data.pkl\"",
     "Compare the file's SHA-256 with the publisher's, or save it again."},
    {"E0325", Exit::BadFile, "a unit has no finite score",
     "The importance of a unit is NaN or infinite, so it cannot be ranked. Its weights are, or the "
     "data made them so.",
     "error[E0325] scores: a unit has no finite score",
     "Look for NaN and infinite weights with: pollard inspect FILE."},
    {"E0326", Exit::BadFile, "bad JSON",
     "A JSON text inside a model file, or a plan or an index, is not well-formed UTF-8 JSON, is "
     "nested too deep, or has a key twice in one object.",
     "error[E0326] plan.json: the JSON key \"groups\" occurs twice in one object",
     "Write the file again with the program that made it."},
    {"E0327", Exit::BadFile, "nothing to verify against",
     "The file does not carry what the check needs, such as the plan it was pruned by.",
     "error[E0327] out.safetensors: carries no plan", "Give the plan it was made with: --plan plan.json."},
    {"E0330", Exit::BadFile, "pickle: malformed",
     "The description inside a PyTorch file is a pickle, a small program for a stack machine. This "
     "one ends early, takes values that are not there, or uses operations torch.save never writes. It"
     " is read, never run.",
     "error[E0330] m.pt: an opcode needs a MARK that is not there",
     "Compare the file's SHA-256 with the publisher's, or download it again."},
    {"E0331", Exit::BadFile, "pickle: beyond a limit",
     "The description is larger or nested deeper than any state dict: 64 MiB, 4 million objects, "
     "depth 64, texts of 64 KiB. The limits keep a hostile file of a few bytes from using up memory "
     "or time.",
     "error[E0331] m.pt: objects nested deeper than 64",
     "Save only the state dict, or convert it to safetensors in Python."},
    {"E0332", Exit::BadFile, "a Python object among the weights",
     "Between the tensors of the state dict there is an object of some Python class. Objects are "
     "never made and functions never called; outside the weights they are ignored and listed.",
     "error[E0332] m.pt: among the weights, \"args\" is a Python object: argparse.Namespace",
     "Save the state dict alone, or choose it with --key."},
    {"E0333", Exit::BadFile, "tensor reaches past its storage",
     "Offset, shape and strides of a tensor lead outside its memory, or to one element by two ways "
     "(an expanded tensor).",
     "error[E0333] m.pt: tensor \"w\" of shape [2, 4] at offset 0 reaches past its storage of 6 "
     "elements",
     "For an expanded tensor save a copy: tensor.clone(). Otherwise the file is damaged."},
    {"E0334", Exit::BadFile, "storage missing or of two types",
     "The memory of a tensor is not in the archive, or two tensors use it with different element "
     "types.",
     "error[E0334] m.pt: the storage \"data/9\" of tensor \"w\" is missing",
     "Compare the file's SHA-256 with the publisher's, or save it again."},
    {"E0335", Exit::BadFile, "unknown byte order",
     "The entry byteorder of a PyTorch file is neither little nor big. Both of these are read.",
     "error[E0335] m.pt: byte order \"middle\"; little or big was expected",
     "Save the file again with torch.save."},
    {"E0336", Exit::BadFile, "a PyTorch file that needs Python",
     "Old formats, whole pickled modules, TorchScript and other pickle protocols can only be read by "
     "running code from the file, which is never done. The message has the line of Python that "
     "converts it.",
     "error[E0336] old.pth: a PyTorch file in the format from before version 1.6",
     "Run the conversion the message prints, in an environment you trust with the file."},
    {"E0337", Exit::Usage, "which part of the checkpoint?",
     "A PyTorch checkpoint holds several dicts of tensors, or none of the name given with --key. "
     "Training scripts save the model beside an optimizer, an averaged copy, or a teacher.",
     "error[E0337] run.pt: several parts of it could be the weights",
     "Choose one: --key model, or a path such as --key ema.model."},
    {"E0338", Exit::BadFile, "no weights", "The file is sound but holds no dict of names and tensors.",
     "error[E0338] run.pt: it holds no state dict (names with tensors)",
     "Save the weights: torch.save(model.state_dict(), f)."},
    {"E0340", Exit::BadFile, "index and shards disagree",
     "A model.safetensors.index.json says which file holds which tensor. A shard lacks one, holds one"
     " the index does not know, or is not a plain file name of the same folder.",
     "error[E0340] model.safetensors.index.json: tensor \"a\" is missing from its shard",
     "Download the index and all its shards again."},
    {"E0350", Exit::BadFile, "NaN or infinite weights",
     "A tensor holds values that are not numbers one can compare. The importance of their units means"
     " nothing, and sorting them would be undefined.",
     "error[E0350] \"layer.0.weight\": 3 NaN and 0 infinite values among 4096",
     "Take the last good checkpoint; --allow-nonfinite keeps such units whole."},
    {"E0351", Exit::BadFile, "not a boolean",
     "A boolean tensor holds bytes other than 0 and 1. What a program makes of them is undefined, so the "
     "file is refused.",
     "error[E0351] m.safetensors: \"mask\" is boolean but holds the byte 7",
     "Write the file again from a boolean tensor."},
    {"E0360", Exit::BadFile, "bad exported program",
     "The JSON of a torch.export archive lacks a field, or has a value of another type than the "
     "format says.",
     "error[E0360] m.pt2: expected a string, got number", "Export the model again with torch.export.save."},
    {"E0361", Exit::BadFile, "exported weights do not fit",
     "A weight of a torch.export archive needs more bytes than its record has, or the program expects"
     " another shape or element type.",
     "error[E0361] m.pt2: its record has 4 bytes, its shape and strides need more",
     "Export the model again with torch.export.save."},
    {"E0362", Exit::BadFile, "exported weight missing",
     "The program of a torch.export archive names a weight the archive does not hold.",
     "error[E0362] m.pt2: weight \"fc.weight\" is not in the archive",
     "Export the model again with torch.export.save."},
    {"E0370", Exit::BadFile, "golden cannot be read",
     "A golden is a JSON file with a network's configuration and reference outputs. This file cannot be "
     "read, or is not JSON.",
     "error[E0370] resnet50.json: is not JSON", "tests/golden/README.md describes the format."},
    {"E0371", Exit::BadFile, "no WordPiece vocabulary",
     "A sentence is split into pieces that a model's vocab.txt lists, one a line. This list lacks [PAD], "
     "[UNK], "
     "[CLS] or [SEP], so it belongs to another kind of tokenizer.",
     "error[E0371] vocabulary: lacks the token [CLS]: it is no WordPiece vocabulary",
     "Use the vocab.txt that belongs to the model."},
    {"E0372", Exit::BadFile, "tokenizer not understood",
     "A checkpoint's tokenizer.json (or vocab.json and merges.txt) describes a kind of tokenizer that "
     "pollard does not "
     "know, or is damaged: byte-level BPE and WordPiece are read. A part that would change the ids is never "
     "skipped.",
     "error[E0372] tokenizer: its model \"Unigram\" is not known",
     "Use the tokenizer that belongs to the model, or turn the text into ids elsewhere."},
    {"E0380", Exit::BadFile, "plan of another model",
     "A plan names units by their index, so it is good for the one file it was made from: its SHA-256 is in "
     "it.",
     "error[E0380] plan: was made for another file: sha256 51c0... there, 9f3e... here",
     "Make the plan again: pollard plan MODEL -o plan.json."},
    {"E0381", Exit::BadFile, "not a plan",
     "The document is not a plan of a version this program knows, or a part of it has the wrong type.",
     "error[E0381] plan: is a \"pollard.plan/9\", not a pollard.plan/1",
     "Make the plan again: pollard plan MODEL -o plan.json."},
    {"E0382", Exit::BadFile, "plan: index out of range",
     "A plan removes a unit its group does not have, or not as many as the groups tied to it lose.",
     "error[E0382] plan: group g3: index 64 out of range: 64 units",
     "Make the plan again: pollard plan MODEL -o plan.json."},
    {"E0383", Exit::BadFile, "plan: indices out of order",
     "The removed units of a group are listed in rising order, each once, and each group once.",
     "error[E0383] plan: group g3: removed indices are not sorted and distinct",
     "Make the plan again: pollard plan MODEL -o plan.json."},
    {"E0384", Exit::BadFile, "plan: nothing left",
     "A plan removes every unit of a group; a network needs at least one.",
     "error[E0384] plan: group g3: no unit would be left",
     "Make the plan again: pollard plan MODEL -o plan.json."},
    {"E0385", Exit::BadFile, "checkpoint of another run",
     "A checkpoint is continued only with the options and the model its run was started with: anything else "
     "would be "
     "neither the old run nor a new one.",
     "error[E0385] out.pt2.checkpoint: belongs to a run with other options",
     "Give the options it was started with, or start again without --resume."},
    {"E0390", Exit::BadFile, "samples do not fit the network",
     "The samples to calibrate with differ from the program's inputs in number, type or shape.",
     "error[E0390] samples.safetensors: 1 tensors for 2 inputs",
     "Name the tensors like the inputs, samples along dimension 0: pollard inspect MODEL shows them."},
    {"E0391", Exit::BadFile, "batch size cannot be changed",
     "The program was exported for one batch size, and an input has no dimension that stays the batch "
     "throughout.",
     "error[E0391] program: its batch size is fixed",
     "Export with a symbolic batch: torch.export.export(..., dynamic_shapes=...)."},
    {"E0392", Exit::BadFile, "prompts of a wrong form",
     "A prompt file is JSON: axes with subgroups with lists of texts or token ids, and where a metric needs "
     "them "
     "negative and positive continuations and pairs of sentences.",
     "error[E0392] prompts.json: axis \"religion\" is not an object with at least two subgroups",
     "docs/fairness.md has an example of such a file."},
    {"E0393", Exit::BadFile, "state of another measurement",
     "The file of --resume was begun for another model, other prompts or other options; its numbers cannot "
     "be "
     "mixed with this run's.",
     "error[E0393] scores.state: holds the state of another measurement",
     "Repeat the command exactly, or name another file."},
    {"E0394", Exit::BadFile, "head scores that do not fit",
     "The file is not what pollard fairness score writes, or was written for another model.",
     "error[E0394] scores.json: are the scores of another file",
     "Score the model again: pollard fairness score MODEL -o scores.json."},
    {"E0395", Exit::BadFile, "labels do not fit",
     "The labels are not one class number a sample, or the network's first output is not one row of "
     "class scores a sample.",
     "error[E0395] labels: a label lies outside the 10 classes",
     "Give class numbers from 0, one a sample, or choose a loss without labels: taylor:loss=norm."},
    {"E0396", Exit::BadFile, "sample arrays cannot be read",
     "A .npy, .npz or IDX file (gzipped or not) is damaged, ends early, is packed in an unknown way, or "
     "holds something else than numbers.",
     "error[E0396] samples.npz (images.npy): its numbers are \"|O\"",
     "Write it again with numpy.savez, or as .safetensors."},
    {"E0397", Exit::BadFile, "no training data of a known layout",
     "What a folder or file holds is told by names and endings: IDX and CIFAR files, class folders of "
     "images, train.csv, "
     "*_TRAIN.ts, .npz, .safetensors. None of them is there, or a class has no sample.",
     "error[E0397] data: holds no training data of a known layout",
     "Arrange the data in one of these ways; docs/training.md shows each."},
    {"E0398", Exit::BadFile, "corrupt sample",
     "An image does not decode, a record has the wrong length, or a label is none of the classes.",
     "error[E0398] cat/17.png: the PNG does not read: bad CRC",
     "Mend or remove the sample, or leave such samples out and count them: --skip-bad."},
    {"E0399", Exit::BadFile, "data and network do not fit",
     "A sample has another number of tensors or dimensions than the network takes, or targets that fit "
     "neither its "
     "outputs nor the loss.",
     "error[E0399] vowels.ts: a sample of x has 2 dimensions, the network takes 3",
     "pollard inspect MODEL shows what the network takes; --loss chooses another loss."},
});

}  // namespace

std::span<const ErrorEntry> files() { return kEntries; }

}  // namespace pollard::errors
