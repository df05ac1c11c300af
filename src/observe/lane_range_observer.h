#pragma once

#include <utility>
#include <vector>

#include <toplens/observer.h>

namespace toplens {

struct LaneRange {
  int first = 0;
  int count = 0;
};

/// Shows another observer some of a pass's lanes as if there were no others: documents, nested
/// contexts and detector sequences share a pass, and each observer sees its own.
class LaneRangeObserver : public AttentionObserver {
 public:
  /// `inner` must outlive this object. The lanes of the ranges, one after the other, are its lanes
  /// 0, 1, ...
  LaneRangeObserver(AttentionObserver& inner, std::vector<LaneRange> ranges)
      : inner_(inner), ranges_(std::move(ranges)) {}

  QuerySelection queries() const override { return inner_.queries(); }
  QuerySelection queries_of_lane(int lane) const override {
    const int own = own_lane(lane);
    return own < 0 ? QuerySelection::none() : inner_.queries_of_lane(own);
  }
  void begin(const ObservedPass& pass) override {
    ObservedPass part = pass;
    part.lane_lengths.clear();
    for (const LaneRange& range : ranges_) {
      const auto begin = pass.lane_lengths.begin() + range.first;
      part.lane_lengths.insert(part.lane_lengths.end(), begin, begin + range.count);
    }
    inner_.begin(part);
  }
  void observe(const HeadView& view, int worker) override {
    HeadView part = view;
    part.lane = own_lane(view.lane);
    inner_.observe(part, worker);
  }
  void end() override { inner_.end(); }

 private:
  int own_lane(int lane) const {
    int before = 0;
    for (const LaneRange& range : ranges_) {
      if (lane >= range.first && lane < range.first + range.count) {
        return before + lane - range.first;
      }
      before += range.count;
    }
    return -1;
  }

  AttentionObserver& inner_;
  std::vector<LaneRange> ranges_;
};

}  // namespace toplens
