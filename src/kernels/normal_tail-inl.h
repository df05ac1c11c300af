// Per-target part of the normal tail: included inside other kernels, once for each instruction set.
#if defined(TOPLENS_KERNELS_NORMAL_TAIL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOPLENS_KERNELS_NORMAL_TAIL_INL_H_
#undef TOPLENS_KERNELS_NORMAL_TAIL_INL_H_
#else
#define TOPLENS_KERNELS_NORMAL_TAIL_INL_H_
#endif

#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

/// exp(-z^2 / 2) of z = sign(s) sqrt(|s|).
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> half_square_exponential(D d, hwy::HWY_NAMESPACE::Vec<D> s) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::Exp(d, hn::Mul(hn::Abs(s), hn::Set(d, -0.5f)));
}

/// exp(z^2 / 2) Pr[Z >= z] for z >= 0, Mills' ratio over sqrt(2 pi): a polynomial in
/// t = 1 / (1 + 0.3 z) that was fitted for the smallest relative error (8e-8) on z <= 12.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> scaled_tail(D d, hwy::HWY_NAMESPACE::Vec<D> t) {
  namespace hn = hwy::HWY_NAMESPACE;
  auto polynomial = hn::Set(d, 0.036741739f);
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, -0.161680052f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.214134240f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, -0.060921205f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.132440829f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.098719038f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.120949099f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.119616272f));
  return hn::Mul(polynomial, t);
}

/// Pr[Z >= z] for z = sign(s) sqrt(|s|) with `exponential` = exp(-z^2 / 2).
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> tail_from_signed_square(
    D d, hwy::HWY_NAMESPACE::Vec<D> s, hwy::HWY_NAMESPACE::Vec<D> exponential) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto one = hn::Set(d, 1.0f);
  const auto z = hn::Sqrt(hn::Abs(s));
  const auto t = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3f), z, one));
  const auto upper = hn::Mul(scaled_tail(d, t), exponential);
  return hn::IfThenElse(hn::Lt(s, hn::Zero(d)), hn::Sub(one, upper), upper);
}

/// exp(x) for x in [-80, 0]: two to the nearest integer in the exponent's bits, times a polynomial
/// for the rest with a relative error of 8e-8.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> small_exponential(D d, hwy::HWY_NAMESPACE::Vec<D> x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const auto binary = hn::Mul(x, hn::Set(d, 1.44269504f));
  const auto whole = hn::NearestInt(binary);
  const auto rest = hn::Sub(binary, hn::ConvertTo(d, whole));
  auto power = hn::Set(d, 0.0013276472f);
  power = hn::MulAdd(power, rest, hn::Set(d, 0.00967554133f));
  power = hn::MulAdd(power, rest, hn::Set(d, 0.0555071327f));
  power = hn::MulAdd(power, rest, hn::Set(d, 0.240221197f));
  power = hn::MulAdd(power, rest, hn::Set(d, 0.693146967f));
  power = hn::MulAdd(power, rest, hn::Set(d, 1.00000007f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, power), hn::ShiftLeft<23>(whole)));
}

// An approximation with one step of Newton's, where there is an instruction for it.
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
template <class D, class V>
HWY_INLINE V reciprocal(D d, V x) {
  return hwy::HWY_NAMESPACE::Div(hwy::HWY_NAMESPACE::Set(d, 1.0f), x);
}
template <class D, class V>
HWY_INLINE V reciprocal_root(D d, V x) {
  return reciprocal(d, hwy::HWY_NAMESPACE::Sqrt(x));
}
#else
template <class D, class V>
HWY_INLINE V reciprocal(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto guess = hn::ApproximateReciprocal(x);
  return hn::Mul(guess, hn::NegMulAdd(x, guess, hn::Set(d, 2.0f)));
}
template <class D, class V>
HWY_INLINE V reciprocal_root(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto guess = hn::ApproximateReciprocalSqrt(x);
  const auto square = hn::Mul(hn::Mul(x, guess), guess);
  return hn::Mul(guess, hn::NegMulAdd(hn::Set(d, 0.5f), square, hn::Set(d, 1.5f)));
}
#endif

/// Pr[Z >= z] for |z| <= 12, in fewer operations than normal_tail()'s and a little less exact.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> tail_from_z(D d, hwy::HWY_NAMESPACE::Vec<D> z) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto one = hn::Set(d, 1.0f);
  const auto size = hn::Abs(z);
  const auto t = reciprocal(d, hn::MulAdd(hn::Set(d, 0.3f), size, one));
  const auto exponential = small_exponential(d, hn::Mul(hn::Mul(size, size), hn::Set(d, -0.5f)));
  const auto upper = hn::Mul(scaled_tail(d, t), exponential);
  return hn::IfThenElse(hn::Lt(z, hn::Zero(d)), hn::Sub(one, upper), upper);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#endif  // per target
