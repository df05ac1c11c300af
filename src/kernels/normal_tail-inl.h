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

/// Pr[Z >= z] for z = sign(s) sqrt(|s|) with `exponential` = exp(-z^2 / 2): the exponential times
/// Mills' ratio, a polynomial in t = 1 / (1 + 0.3 |z|) that was fitted for the smallest relative
/// error (8e-8) on |z| <= 12.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> tail_from_signed_square(
    D d, hwy::HWY_NAMESPACE::Vec<D> s, hwy::HWY_NAMESPACE::Vec<D> exponential) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto one = hn::Set(d, 1.0f);
  const auto z = hn::Sqrt(hn::Abs(s));
  const auto t = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3f), z, one));
  auto polynomial = hn::Set(d, 0.036741739f);
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, -0.161680052f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.214134240f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, -0.060921205f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.132440829f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.098719038f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.120949099f));
  polynomial = hn::MulAdd(polynomial, t, hn::Set(d, 0.119616272f));
  const auto upper = hn::Mul(hn::Mul(polynomial, t), exponential);
  return hn::IfThenElse(hn::Lt(s, hn::Zero(d)), hn::Sub(one, upper), upper);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#endif  // per target
