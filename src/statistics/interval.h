#pragma once

namespace toplens {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

}  // namespace toplens
