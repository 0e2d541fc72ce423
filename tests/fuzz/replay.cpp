// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over its seed files, every truncation of their ends, and random changes of
// them, the same ones each time; then over more of these until POLLARD_FUZZ_SECONDS (8) have passed since it began.
// A target must return; what it may throw it catches itself.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "models/io/zip_reader.h"
#include "models/registry.h"
#include "tests/bad_files/make_bad_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kLargestSeed = 1 << 20;
constexpr int kChangesPerSeed = 400;  // unless the list of seeds says otherwise
constexpr std::size_t kTruncationsPerSeed = 400;
constexpr int kSeconds = 8;  // unless POLLARD_FUZZ_SECONDS says otherwise

std::size_t runs = 0;

void run(const Bytes& bytes) {
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  ++runs;
}

Bytes read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

std::vector<Bytes> files_at(const fs::path& place) {
  std::vector<fs::path> paths = {place};
  if (fs::is_directory(place)) paths.assign(fs::directory_iterator(place), fs::directory_iterator());
  std::ranges::sort(paths);
  std::vector<Bytes> seeds;
  for (const fs::path& path : paths)
    if (fs::is_regular_file(path) && fs::file_size(path) <= kLargestSeed) seeds.push_back(read(path));
  return seeds;
}

template <class Files>
std::vector<Bytes> contents(const Files& files) {
  std::vector<Bytes> seeds;
  for (const auto& file : files) seeds.emplace_back(file.bytes.begin(), file.bytes.end());
  return seeds;
}

// What is inside those seeds that are sound archives; their checksums need not be right.
std::vector<Bytes> entries_of(const std::vector<Bytes>& archives) {
  std::vector<Bytes> seeds;
  for (const Bytes& bytes : archives) try {
      const auto view = std::as_bytes(std::span(bytes));
      const pollard::models::io::ZipReader archive(
          pollard::models::io::memory_source({view.begin(), view.end()}, "seed"), {.check_crc = false});
      for (const auto& entry : archive.entries()) {
        const std::vector<std::byte> data = archive.read(entry);
        const auto* first = reinterpret_cast<const std::uint8_t*>(data.data());
        seeds.emplace_back(first, first + data.size());
      }
    } catch (const pollard::UserError&) {}
  return seeds;
}

// The text of a line 'a\n\x00b', with these escapes.
Bytes unescaped(std::string_view text) {
  Bytes out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    const char c = escape ? text[++i] : text[i];
    if (escape && c == 'x' && i + 2 < text.size()) {
      out.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(static_cast<std::uint8_t>(escape && c == 'n' ? '\n' : c));
    }
  }
  return out;
}

// "COUNT LENGTH": so many seeds of random bytes, for targets that take any bytes as choices.
std::vector<Bytes> random_seeds(const std::string& numbers) {
  std::istringstream in(numbers);
  std::size_t count = 0, length = 0;
  in >> count >> length;
  std::mt19937 random(2);
  std::vector<Bytes> seeds(count, Bytes(length));
  for (Bytes& seed : seeds)
    for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(random());
  return seeds;
}

// The number of a family, which fuzz_config takes for its name, and each of its small specs.
std::vector<Bytes> specs() {
  std::vector<Bytes> seeds;
  const auto& families = pollard::models::families();
  for (std::size_t f = 0; f < families.size(); ++f)
    for (const std::string& spec : families[f].small_specs) {
      seeds.push_back({static_cast<std::uint8_t>(f)});
      seeds.back().insert(seeds.back().end(), spec.begin(), spec.end());
    }
  return seeds;
}

bool is_between(const std::string& line, char quote) {
  return line.size() > 1 && line.front() == quote && line.back() == quote;
}

// A line of the seed list is a file or folder (from tests/), a "text" in quotes, a 'text with escapes', or one of the sets
// made by code; with " entries" it is what the archives among them hold, after "prefix X " all begin with that character.
std::vector<Bytes> seeds_of(const std::string& line, const fs::path& tests) {
  namespace bad = pollard::bad_files;
  constexpr std::string_view kInside = " entries";
  if (line.starts_with("prefix ") && line.size() > 9) {
    std::vector<Bytes> seeds = seeds_of(line.substr(9), tests);
    for (Bytes& seed : seeds) seed.insert(seed.begin(), static_cast<std::uint8_t>(line[7]));
    return seeds;
  }
  if (line.ends_with(kInside))
    return entries_of(seeds_of(line.substr(0, line.size() - kInside.size()), tests));
  if (line == "@safetensors") return contents(bad::bad_safetensors());
  if (line == "@zips") return contents(bad::bad_zips());
  if (line == "@good") return contents(bad::good_files());
  if (line == "@pickles") return contents(bad::bad_pickles());
  if (line == "@specs") return specs();
  if (line.starts_with("@random ")) return random_seeds(line.substr(8));
  if (is_between(line, '\'')) return {unescaped(std::string_view(line).substr(1, line.size() - 2))};
  if (is_between(line, '"')) return {Bytes(line.begin() + 1, line.end() - 1)};
  return files_at(tests / line);
}

struct Seeds {
  std::vector<Bytes> all = {{}};
  int changes = kChangesPerSeed;
};

Seeds read_seeds(const fs::path& list) {
  Seeds out;
  std::ifstream stream(list);
  for (std::string line; std::getline(stream, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("changes ")) {
      out.changes = std::stoi(line.substr(8));
      continue;
    }
    for (Bytes& seed : seeds_of(line, list.parent_path().parent_path())) out.all.push_back(std::move(seed));
  }
  return out;
}

// Both ends matter: headers are at the front of most formats, a zip's directory is at its back.
void run_truncated(const Bytes& seed) {
  const std::size_t step = std::max<std::size_t>(1, seed.size() / kTruncationsPerSeed);
  for (std::size_t size = 0; size < seed.size(); size += step)
    run(Bytes(seed.begin(), seed.begin() + static_cast<std::ptrdiff_t>(size)));
  const std::size_t tail = std::min<std::size_t>(seed.size(), 64);
  for (std::size_t cut = 1; cut <= tail; ++cut)
    run(Bytes(seed.begin(), seed.end() - static_cast<std::ptrdiff_t>(cut)));
}

// One to four changes: a flipped bit, an extreme byte, a byte left out or put in.
Bytes changed(Bytes bytes, std::mt19937& random) {
  const std::size_t changes = 1 + random() % 4;
  for (std::size_t change = 0; change < changes && !bytes.empty(); ++change) {
    // Half of the changes go to the first or last 512 bytes, where structure is densest.
    const std::size_t window = random() % 2 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 512);
    std::size_t at = random() % window;
    if (random() % 2 == 0) at = bytes.size() - 1 - at;
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 4) {
      case 0: *place = static_cast<std::uint8_t>(*place ^ (1U << random() % 8)); break;
      case 1: *place = random() % 2 == 0 ? 0x00 : 0xff; break;
      case 2: bytes.erase(place); break;
      default: bytes.insert(place, static_cast<std::uint8_t>(random())); break;
    }
  }
  return bytes;
}

std::chrono::seconds time_to_spend() {
  const char* text = std::getenv("POLLARD_FUZZ_SECONDS");
  return std::chrono::seconds(text ? std::atoi(text) : kSeconds);
}

}  // namespace

// With a folder as second argument: writes the seeds there, as the corpus of libFuzzer.
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const Seeds seeds = read_seeds(argv[1]);
  if (argc == 3) {
    for (std::size_t i = 0; i < seeds.all.size(); ++i)
      std::ofstream(fs::path(argv[2]) / std::to_string(i), std::ios::binary)
          .write(reinterpret_cast<const char*>(seeds.all[i].data()), std::ssize(seeds.all[i]));
    return 0;
  }
  const auto end = std::chrono::steady_clock::now() + time_to_spend();
  std::mt19937 random(1);
  for (const Bytes& seed : seeds.all) {
    run(seed);
    if (seeds.changes >= kChangesPerSeed) run_truncated(seed);
    for (int change = 0; change < seeds.changes; ++change) run(changed(seed, random));
  }
  for (std::size_t byte = 0; byte < 256; ++byte) run({static_cast<std::uint8_t>(byte)});
  while (std::chrono::steady_clock::now() < end) run(changed(seeds.all[random() % seeds.all.size()], random));
  std::printf("%zu inputs\n", runs);
  return 0;
}
