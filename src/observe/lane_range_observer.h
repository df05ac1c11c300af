#pragma once

#include <toplens/observer.h>

namespace toplens {

/// Shows another observer a range of a pass's lanes as if there were no others: documents, nested
/// contexts and detector sequences share a pass, and each observer sees its own.
class LaneRangeObserver : public AttentionObserver {
 public:
  /// `inner` must outlive this object. Lanes first .. first + count - 1 become its lanes 0 .. count
  /// - 1.
  LaneRangeObserver(AttentionObserver& inner, int first, int count)
      : inner_(inner), first_(first), count_(count) {}

  QuerySelection queries() const override { return inner_.queries(); }
  QuerySelection queries_of_lane(int lane) const override {
    return contains(lane) ? inner_.queries_of_lane(lane - first_) : QuerySelection::none();
  }
  void begin(const ObservedPass& pass) override {
    ObservedPass part = pass;
    const auto begin = pass.lane_lengths.begin() + first_;
    part.lane_lengths.assign(begin, begin + count_);
    inner_.begin(part);
  }
  void observe(const HeadView& view, int worker) override {
    HeadView part = view;
    part.lane = view.lane - first_;
    inner_.observe(part, worker);
  }
  void end() override { inner_.end(); }

 private:
  bool contains(int lane) const { return lane >= first_ && lane < first_ + count_; }

  AttentionObserver& inner_;
  int first_;
  int count_;
};

}  // namespace toplens
