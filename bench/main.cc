#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <toplens/error.h>
#include <CLI/CLI.hpp>

#include "bench/gemm_ceiling.h"
#include "bench/memory_ceiling.h"
#include "bench/report.h"
#include "bench/stopwatch.h"
#include "bench/workloads.h"
#include "cli/analyze.h"
#include "io/atomic_file.h"
#include "parallel/memory.h"
#include "report/report_page.h"
#include "results/build_info.h"

namespace toplens::bench {
namespace {

namespace fs = std::filesystem;

constexpr double kGiga = 1e9;
constexpr std::size_t kDocuments = 8;
constexpr std::size_t kFullDocuments = 4;
constexpr std::uint64_t kMappedBytes = std::uint64_t{1} << 30;
constexpr double kTheoryCoreMilliseconds = 3;
/// Of the ceiling after each layer of a pass.
constexpr double kCeilingSeconds = 2;
constexpr int kPlainPasses = 2;
constexpr std::uint64_t kMemoryBytes = std::uint64_t{8} << 30;

struct Arguments {
  fs::path model;
  fs::path scan_model;  ///< as many layers as a scan needs to show what forks save
  fs::path work;        ///< for the run directory of analyze
  fs::path out;
  fs::path compare, readme;
  bool full = false;
  int threads = 0;
  int rounds = 5;
  double budget_seconds = 600;  ///< no round begins that would end later
};

void note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(": ") + 2);
  }
  return "unknown processor";
}

std::string today() {
  std::array<char, 32> text{};
  const std::time_t now = std::time(nullptr);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  return text.data();
}

fs::path weight_file(const fs::path& model) {
  const fs::path whole = model / "model.safetensors";
  if (!fs::exists(whole)) throw Error(whole.string() + ": not there; scripts/bench generates it");
  return whole;
}

class QuietListener : public AnalyzeListener {
 public:
  void note(const std::string&) override {}
  void start(std::uint64_t, double) override {}
  void advance(std::uint64_t, std::uint64_t) override {}
  void finish_part(std::uint64_t) override {}
};

/// What the whole command with its results on disk takes besides its pass over the model.
struct AroundPass {
  double all = 0;          ///< seconds
  double pooling_cpu = 0;  ///< of all threads, of making results from the parts
  double report = 0;       ///< seconds of making report.html once more
};

AroundPass seconds_around_pass(const Arguments& arguments, int threads, const char* theory) {
  AnalyzeArguments analysis;
  analysis.engine.model = arguments.model;
  analysis.engine.threads = threads;
  analysis.text.tokens = arguments.model / "tokens.npy";
  analysis.documents = static_cast<int>(kDocuments);
  analysis.theory = theory;
  // The default's half: 16 of 32.
  analysis.predictions.envelope_documents = static_cast<int>(kDocuments / 2);
  analysis.measures.measures = "off";
  analysis.out = arguments.work / "analyze-run";
  fs::remove_all(analysis.out);
  QuietListener listener;
  const AnalyzeOutcome outcome = analyze(analysis, listener);
  AroundPass around;
  around.report =
      seconds_of([&] { write_report({analysis.out}, fs::path(analysis.out) / "report.html"); });
  fs::remove_all(analysis.out);
  for (const auto& timing : outcome.manifest.timings) {
    if (timing.name == "pool") around.pooling_cpu = timing.cpu_seconds;
    if (timing.name == "prepare" || timing.name == "pool") around.all += timing.wall_seconds;
  }
  return around;
}

/// Everything but the full shape.
class Suite {
 public:
  explicit Suite(const Arguments& arguments)
      : arguments_(arguments),
        threads_(arguments.threads > 0 ? arguments.threads : available_threads()) {}

  std::vector<Row> run() {
    describe();
    measure_memory();
    ModelSession session(arguments_.model, threads_, kMemoryBytes, ComputeMode::bf16);
    GemmCeiling bf16(session.config(), ComputeType::bf16, session.pool());
    GemmCeiling f32(session.config(), ComputeType::f32, session.pool());
    bf16.search(3);
    f32.search(1);
    PassRunner passes(session, read_documents(arguments_.model / "tokens.npy", kDocuments));
    AttentionRunner attention(session, kDocuments, 1024);
    ModelSession scanned(arguments_.scan_model, threads_, kMemoryBytes, ComputeMode::bf16);
    LayerScanRunner scan(scanned, read_documents(arguments_.scan_model / "tokens.npy", 1)[0]);
    describe_shapes(session.config(), scanned.config());

    double longest_round = 0;
    for (int round = 0; round < arguments_.rounds; ++round) {
      const double left = arguments_.budget_seconds - elapsed();
      if (round > 0 && longest_round > left) break;
      longest_round = std::max(
          longest_round, seconds_of([&] { measure_round(passes, attention, scan, bf16, f32); }));
      note(fmt::format("round {} of {} done, {:.0f} s so far", round + 1, arguments_.rounds,
                       elapsed()));
    }
    // Once: it is short and hardly varies.
    const AroundPass plain_results = seconds_around_pass(arguments_, threads_, "off");
    const AroundPass theory_results = seconds_around_pass(arguments_, threads_, "on");
    const double around = plain_results.all;
    add(report_, theory_results.report, theory_results.report / plain_seconds_);
    const ModelConfig& config = session.config();
    const double core_ms =
        1e3 * (theory_results.pooling_cpu - plain_results.pooling_cpu) /
        (static_cast<double>(kDocuments) * config.num_layers * config.num_query_heads);
    add(theory_, core_ms, core_ms / kTheoryCoreMilliseconds);
    for (std::size_t round = 0; round < final_query_inside_.samples.size(); ++round) {
      const double inside = final_query_inside_.samples[round];
      add(analyze_, around + inside,
          (around + inside) * final_query_inside_.shares[round] / inside);
    }
    return {gemm_,
            gemm_f32_,
            read_,
            triad_,
            cold_,
            warm_,
            forward_,
            attention_,
            select16_,
            select256_,
            final_query_inside_,
            analyze_,
            all_queries_,
            records_,
            theory_,
            measures_,
            treated_,
            scan_,
            report_};
  }

 private:
  static void add(Row& row, double value, std::optional<double> share = std::nullopt) {
    row.samples.push_back(value);
    if (share) row.shares.push_back(*share);
    note(fmt::format("  {:<22} {:.4g} {}{}", row.name, value, row.unit,
                     share ? fmt::format(", {:.1f}%", 100 * *share) : ""));
  }
  double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  void describe();
  void describe_shapes(const ModelConfig& config, const ModelConfig& scanned);

  void measure_memory() {
    // A pool of its own: nobody may have the weights mapped while their pages are dropped.
    ThreadPool pool(threads_);
    const MemoryRates memory = memory_rates(pool);
    add(read_, memory.read / kGiga);
    add(triad_, memory.triad / kGiga);
    const MappingRates mapping = mapping_rates(pool, weight_file(arguments_.model), kMappedBytes);
    cold_.what +=
        fmt::format(" ({:.0f}% of the pages had stayed)", 100 * mapping.resident_before_cold);
    add(cold_, mapping.cold_mapping / kGiga, mapping.cold_mapping / mapping.cold_read);
    add(warm_, mapping.warm_mapping / kGiga, mapping.warm_mapping / memory.read);
  }

  void measure_round(PassRunner& passes, AttentionRunner& attention, LayerScanRunner& scan,
                     GemmCeiling& bf16, GemmCeiling& f32) {
    bf16.restart();
    double plain = 0;
    for (int turn = 0; turn < kPlainPasses; ++turn) {
      plain += passes.plain([&] { bf16.run_for(kCeilingSeconds); }).seconds / kPlainPasses;
    }
    plain_seconds_ = plain;
    gemm_.what = "GEMM, bf16, " + bf16.best();
    add(gemm_, bf16.rate() / kGiga);
    const double rate = passes.operations() / plain;
    add(forward_, rate / kGiga, rate / bf16.rate());

    const PassRunner::Timing last = passes.geometry(final_query_geometry(), QuerySelection::last());
    const double workers = threads_;
    add(final_query_inside_, last.observing_seconds / workers,
        last.observing_seconds / workers / plain);
    const double recording = passes.theory_records().observing_seconds / workers;
    add(records_, recording, recording / plain);
    const PassRunner::Timing measures = passes.measures(QuerySelection::last());
    const double measuring = measures.observing_seconds / workers + passes.detector_share() * plain;
    add(measures_, measuring, measuring / plain);
    const PassRunner::InTurns all = passes.measured(all_queries_geometry(), QuerySelection::all());
    add(all_queries_, all.extra_seconds(), all.extra_share());
    const PassRunner::InTurns treated = passes.treated(64);
    add(treated_, treated.extra_seconds(), treated.extra_share());
    const double forked_before = scan.forked_seconds();
    const double from_layer_0 = scan.from_layer_0_seconds();
    const double forked = (forked_before + scan.forked_seconds()) / 2;
    add(scan_, forked, forked / from_layer_0);

    f32.restart();
    double attending = 0;
    for (int turn = 0; turn < 3; ++turn) {
      f32.run_for(1);
      attending += attention.seconds() / 3;
    }
    gemm_f32_.what = "GEMM, f32, " + f32.best();
    add(gemm_f32_, f32.rate() / kGiga);
    const double attention_rate = attention.operations() / attending;
    add(attention_, attention_rate / kGiga, attention_rate / f32.rate());
    for (const auto& [row, count] : {std::pair(&select16_, 16), std::pair(&select256_, 256)}) {
      const SelectionTiming selection = select_top(1024, static_cast<std::size_t>(count));
      add(*row, selection.select_seconds * kGiga,
          selection.pass_seconds / selection.select_seconds);
    }
  }

  const Arguments& arguments_;
  int threads_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Row gemm_, gemm_f32_, read_, triad_, cold_, warm_, forward_, attention_, select16_, select256_,
      final_query_inside_, analyze_, all_queries_, records_, theory_, measures_, treated_, scan_,
      report_;
  double plain_seconds_ = 0;  ///< of the last round's forward pass
};

void Suite::describe() {
  gemm_.name = "gemm_bf16";
  gemm_.unit = "GFLOP/s";
  gemm_.bound = "the processor's bf16 units and their clock under load";
  gemm_f32_.name = "gemm_f32";
  gemm_f32_.unit = "GFLOP/s";
  gemm_f32_.bound = "the processor's f32 units";
  read_.name = "memory_read";
  read_.what = "memory read, 256 MiB";
  read_.unit = "GB/s";
  read_.bound = "memory channels, and the share of them that the machine gives";
  triad_.name = "memory_triad";
  triad_.what = "memory triad a = b + s c, 3 x 256 MiB";
  triad_.unit = "GB/s";
  triad_.bound = "the same; a's lines are read before they are written, which is not counted";
  cold_.name = "mapping_cold";
  cold_.what = "weights mapped and read, page cache dropped";
  cold_.unit = "GB/s";
  cold_.limit = "pread of the dropped file, 4 MiB at a time";
  cold_.bound =
      "the disk (a virtual machine's host may hold the file); the kernel's read-ahead is "
      "smaller for page faults than for pread";
  warm_.name = "mapping_warm";
  warm_.what = "weights mapped and read, pages in the cache";
  warm_.unit = "GB/s";
  warm_.limit = "memory read";
  warm_.bound = "page faults: 16 pages are mapped at each";
  forward_.name = "forward_pass";
  forward_.unit = "GFLOP/s";
  forward_.limit = "GEMM, bf16, in turns with it";
  forward_.target = 0.85;
  forward_.bound =
      "attention in float32, then what lies between the products: norms, activation, "
      "conversion of activations to bf16, first touch of the buffers";
  attention_.name = "attention";
  attention_.unit = "GFLOP/s";
  attention_.limit = "GEMM, f32";
  attention_.bound =
      "head_dim sums are short for a GEMM; exponentials; scores above the diagonal "
      "inside a block of queries are computed and not counted";
  for (Row* row : {&select16_, &select256_}) {
    row->unit = "ns";
    row->higher_is_better = false;
    row->limit = "one pass over the row";
    row->bound = "partial sort: branches that cannot be predicted";
  }
  select16_.name = "select_16";
  select16_.what = "first 16 of 1024 in order, one thread";
  select256_.name = "select_256";
  select256_.what = "first 256 of 1024 in order, one thread";
  for (Row* row : {&final_query_inside_, &analyze_, &all_queries_, &records_, &measures_, &treated_,
                   &scan_, &report_}) {
    row->unit = "s";
    row->higher_is_better = false;
    row->limit = "the forward pass";
    row->share_is_cost = true;
  }
  final_query_inside_.name = "geometry_final_inside";
  final_query_inside_.what =
      "geometry at the final query (analyze's defaults), time inside the observer";
  final_query_inside_.bound =
      "inner products of the values with 162 aggregates (18 rankings, 16 of them random, and nine "
      "sizes) in float32, then counting below and above the radii";
  analyze_.name = "analyze";
  analyze_.what = "the same and all that analyze does around its pass";
  analyze_.target = 0.05;
  analyze_.bound = "the row above; opening, digests and results do not grow with the layers' width";
  measures_.name = "measures_final_query";
  measures_.what =
      "signature and measures at the final query, detectors on 2 sequences (8 for 32 documents): "
      "time "
      "inside the observers and the sequences' share of the pass";
  measures_.target = 0.10;
  measures_.bound =
      "squared norms of all values and selection errors in float64, then the effective ranks of "
      "one "
      "document (4 of 32)";
  records_.name = "theory_records";
  records_.what = "the theory's records of the final query, time inside the observer";
  records_.bound = "cosines of all pairs of values, one product of L x d by d x L for each kv head";
  theory_.name = "theory";
  theory_.what =
      "the theory's fits, bounds and draws (nine sizes, attention and contribution), for each head "
      "and document of 1024 tokens, half of them with envelopes as by default";
  theory_.unit = "core-ms";
  theory_.higher_is_better = false;
  theory_.share_is_cost = true;
  theory_.limit = "3 core-ms";
  theory_.target = 1.0;
  theory_.bound = "normal tails of all selected with all unselected tokens, theory.md (21)";
  all_queries_.name = "geometry_all_queries";
  all_queries_.what =
      "geometry at all queries (attention, Euclidean, 1 to 256, no inversions), extra time of the "
      "pass, in turns with the same documents unobserved";
  all_queries_.target = 0.35;
  all_queries_.bound =
      "inner products of nine aggregates of each query with all its values (16-bit integers with "
      "VNNI, else float32): a third of it; then the aggregates in float64, and the order";
  treated_.name = "treated_lane";
  treated_.what =
      "every lane treated (model scope, attention, delete, N = 64), extra time of the pass, in "
      "turns "
      "with the same lanes untreated";
  treated_.target = 0.10;
  treated_.bound = "the threshold of each attention row, by bisection, and dropping what is below";
  report_.name = "report";
  report_.what = fmt::format(
      "report.html of {} documents, theory included, from the results on disk", kDocuments);
  report_.bound = "reading the results (inflate, SHA-256), then text of numbers";
  scan_.name = "layer_scan";
  scan_.limit = "every lane from layer 0";
  scan_.target = 0.60;
  scan_.bound = "half of the layers of all lanes, and the untreated lane's own";
}

void Suite::describe_shapes(const ModelConfig& config, const ModelConfig& scanned) {
  scan_.what = fmt::format(
      "scan of {} layers of {} x {}, one document of 1024 tokens, lanes forked where they differ",
      scanned.num_layers, scanned.hidden_size, scanned.intermediate_size);
  forward_.what =
      fmt::format("forward pass, {} layers of {} x {}, {} documents of 1024 tokens, bf16",
                  config.num_layers, config.hidden_size, config.intermediate_size, kDocuments);
  attention_.what =
      fmt::format("attention of a layer alone, {} heads of {}, {} documents of 1024 tokens",
                  config.num_query_heads, config.head_dim, kDocuments);
}

/// The shape with all its layers: weights from disk once, VmHWM of this process.
std::vector<Row> run_full(const Arguments& arguments) {
  const int threads = arguments.threads > 0 ? arguments.threads : available_threads();
  ModelSession session(arguments.model, threads, kMemoryBytes, ComputeMode::bf16);
  PassRunner passes(session, read_documents(arguments.model / "tokens.npy", kFullDocuments));
  GemmCeiling gemm(session.config(), ComputeType::bf16, session.pool());
  gemm.search(3);
  note("forward pass");
  const double seconds = passes.plain([&] { gemm.run_for(kCeilingSeconds / 3); }).seconds;
  const ProcessMemory memory = process_memory();
  const double rate = passes.operations() / seconds;

  Row speed;
  speed.name = "full_forward_pass";
  speed.what =
      fmt::format("forward pass, all {} layers, {} of weights, {} documents of 1024 tokens",
                  session.config().num_layers,
                  format_bytes(session.model().tensors().total_bytes()), kFullDocuments);
  speed.unit = "tokens/s";
  speed.samples = {passes.tokens() / seconds};
  speed.limit = fmt::format("GEMM, bf16 ({:.0f} GFLOP/s then)", gemm.rate() / kGiga);
  speed.shares = {rate / gemm.rate()};
  speed.bound =
      "as the forward pass above, and the disk where it gives less than a layer's weights "
      "in a layer's time";
  Row peak;
  peak.name = "full_peak_memory";
  peak.what = fmt::format(
      "its peak resident memory (VmHWM, mapped weights and {} of the ceiling's matrices included)",
      format_bytes(gemm.bytes()));
  peak.unit = "GiB";
  peak.higher_is_better = false;
  peak.samples = {static_cast<double>(memory.peak_resident_bytes) / (1 << 30)};
  peak.limit = "4 GiB";
  peak.shares = {peak.samples.front() / 4};
  peak.share_is_cost = true;
  peak.target = 1.0;
  peak.bound = fmt::format(
      "one layer's mapped pages, residual streams and buffers ({} anonymous "
      "at the end)",
      format_bytes(memory.anonymous_bytes));
  return {speed, peak};
}

nlohmann::ordered_json machine(int threads) {
  const BuildInfo build = build_info();
  nlohmann::ordered_json json;
  json["cpu"] = cpu_name();
  json["threads"] = threads > 0 ? threads : available_threads();
  json["commit"] = build.git_commit.empty() ? build.version : build.git_commit.substr(0, 10);
  json["compiler"] = build.compiler;
  json["date"] = today();
  return json;
}

void run(const Arguments& arguments) {
  // Before the work: a wrong file should not cost minutes.
  std::optional<nlohmann::ordered_json> before;
  if (!arguments.compare.empty()) before = read_result(arguments.compare);
  const std::vector<Row> rows = arguments.full ? run_full(arguments) : Suite(arguments).run();
  nlohmann::ordered_json result;
  if (arguments.full && fs::exists(arguments.out)) result = read_result(arguments.out);
  if (!result.contains("machine")) result["machine"] = machine(arguments.threads);
  merge_rows(result, rows);
  write_file_atomically(arguments.out, result.dump(2) + "\n");
  const std::string table = markdown(result);
  std::fputs(table.c_str(), stdout);
  if (before) std::fputs(("\n" + comparison(*before, result)).c_str(), stdout);
  if (!arguments.readme.empty()) replace_table(arguments.readme, table);
}

}  // namespace
}  // namespace toplens::bench

int main(int argc, char** argv) {
  using namespace toplens::bench;
  Arguments arguments;
  CLI::App app("Speed of toplens against the limits of the machine, measured in the same run");
  app.add_option("--model", arguments.model, "Generated checkpoint with tokens.npy")->required();
  app.add_option("--scan-model", arguments.scan_model,
                 "Generated checkpoint of many layers, with tokens.npy; not with --full");
  app.add_option("--out", arguments.out, "Result, JSON")->required();
  app.add_option("--work", arguments.work, "Folder for a run directory");
  app.add_option("--compare", arguments.compare, "Earlier result to print the change from");
  app.add_option("--readme", arguments.readme, "File whose table is replaced");
  app.add_flag("--full", arguments.full,
               "One forward pass of 4 documents and the peak memory; adds rows to --out");
  app.add_option("--threads", arguments.threads)->check(CLI::Range(0, 4096));
  app.add_option("--rounds", arguments.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--budget-seconds", arguments.budget_seconds)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (arguments.work.empty()) arguments.work = arguments.out.parent_path();
  try {
    run(arguments);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "toplens_bench: %s\n", error.what());
    return 1;
  }
}
