// Prints, for every layer and head, the attention that falls on the first token: the mean over the
// queries of a short text. Usage: observer CHECKPOINT_DIRECTORY
#include <cstdio>
#include <vector>

#include <toplens/model.h>
#include <toplens/observer.h>

class SinkAttention : public toplens::AttentionObserver {
 public:
  toplens::QuerySelection queries() const override { return toplens::QuerySelection::all(); }
  void begin(const toplens::ObservedPass& pass) override {
    heads_ = pass.num_query_heads;
    means_.assign(static_cast<std::size_t>(pass.num_layers * heads_), 0.0);
  }
  // Workers run at the same time, but with one document each head comes once: no lock is needed.
  void observe(const toplens::HeadView& view, int /*worker*/) override {
    double sum = 0.0;
    for (std::size_t r = 0; r < view.attention.rows(); ++r) sum += view.attention(r, 0);
    means_[static_cast<std::size_t>(view.head.layer * heads_ + view.head.query_head)] =
        sum / static_cast<double>(view.attention.rows());
  }
  void print() const {
    std::puts("# layer head attention_on_first_token");
    for (int i = 0; i < static_cast<int>(means_.size()); ++i) {
      std::printf("%d %d %.4f\n", i / heads_, i % heads_, means_[static_cast<std::size_t>(i)]);
    }
  }

 private:
  int heads_ = 0;
  std::vector<double> means_;
};

int main(int argc, char** argv) try {
  if (argc != 2) return std::fputs("usage: observer CHECKPOINT_DIRECTORY\n", stderr), 2;
  const auto model = toplens::Model::open(argv[1]);
  const std::vector<std::vector<std::int32_t>> documents = {model.tokenize(
      "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
      "must be in want of a wife. However little known the feelings or views of such a man may "
      "be.")};
  SinkAttention sink;
  toplens::AttentionObserver* const observers[] = {&sink};
  model.run(documents, observers);
  sink.print();
  return 0;
} catch (const toplens::Error& error) {
  std::fprintf(stderr, "observer: %s\n", error.what());
  return 1;
}
