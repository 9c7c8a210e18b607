"""IAC's joint exploration policy: a Gaussian whose covariance is L L' + D (IAC paper, eq. 10 and 12).

`distrax.MultivariateNormalDiagPlusLowRank` is another distribution: its low-rank term enters the scale, so that its
covariance is (D + U V')(D + U V')'.

With S = sqrt(D) and G = S^-1 L the matrix determinant lemma reads |L L' + D| = |D| |I + G'G|, and Woodbury's identity
makes a quadratic form of m x m work. As usually written (a difference of two terms as large as |x|^2 / D) it cancels in
float32 once D is small: D = 1e-6 leaves no digit. The same number is the squared residual of a least-squares problem,

    x' (L L' + D)^-1 x = min over y of |S^-1 (x - L y)|^2 + |y|^2,

the distance of [S^-1 x; 0] from the columns of [G; I]; and where x = S e + L z was made of noise, it is the distance of
[e; z] from the columns of [-G; I], since A = [I, G] maps [e; z] to S^-1 x and these columns span what A sends to 0.
Both come out of m steps of Gram-Schmidt, in which large numbers are subtracted from each other only once.
"""

import distrax
import jax
import jax.numpy as jnp

from iacjax.gaussian import LOG_2PI, squash_correction


def squashed_log_prob(x: jax.Array, log_prob: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """log density of tanh(x): `log_prob` f32[...] is that of x, f32[..., n]. Dimensions with `mask` 0 are left out."""
    correction = squash_correction(x)
    return log_prob - (correction if mask is None else jnp.where(mask, correction, 0.0)).sum(-1)


def _project_out(columns: list[jax.Array], vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(squared distance of `vector` [..., k] from the span of `columns`, log |C'C|), by modified Gram-Schmidt.

    Each column has a 1 that no column before it has, so what is left of it is never shorter than 1.
    """
    log_det = jnp.zeros((), vector.dtype)
    while columns:
        column, *columns = columns
        square = (column * column).sum(-1)
        log_det = log_det + jnp.log(square)

        def remove(x, column=column, square=square):
            return x - column * ((column * x).sum(-1) / square)[..., None]

        vector = remove(vector)
        columns = [remove(x) for x in columns]
    return (vector * vector).sum(-1), log_det


class LowRankGaussian(distrax.Distribution):
    """N(loc, L L' + diag(d)) over n dimensions, with a factor L of m columns: O(n m^2) work, no n x n matrix.

    Methods with a `mask` (bool or 0/1, [..., n]; None: all) give the density or entropy of the dimensions where it is 1
    only, such as the real ones of agents that have fewer than others.
    """

    def __init__(self, loc: jax.Array, diag: jax.Array, factor: jax.Array):
        """loc [..., n], diag [..., n] (variances, > 0), factor [..., n, m]; leading axes broadcast."""
        batch = jnp.broadcast_shapes(loc.shape[:-1], diag.shape[:-1], factor.shape[:-2])
        self.loc = jnp.broadcast_to(loc, (*batch, loc.shape[-1]))
        self.diag = jnp.broadcast_to(diag, (*batch, loc.shape[-1]))
        self.factor = jnp.broadcast_to(factor, (*batch, *factor.shape[-2:]))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.loc.shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.loc.shape[:-1]

    @property
    def rank(self) -> int:
        """m, columns of the factor."""
        return self.factor.shape[-1]

    def mean(self) -> jax.Array:
        return self.loc

    def mode(self) -> jax.Array:
        return self.loc

    def variance(self) -> jax.Array:
        return self.diag + (self.factor**2).sum(-1)

    def covariance(self) -> jax.Array:
        """The dense covariance [..., n, n], for figures."""
        low_rank = jnp.einsum("...im,...jm->...ij", self.factor, self.factor)
        return low_rank + self.diag[..., None] * jnp.eye(self.loc.shape[-1], dtype=self.loc.dtype)

    def _weights(self, mask: jax.Array | None) -> jax.Array:
        ones = jnp.ones_like(self.loc)
        return ones if mask is None else ones * jnp.asarray(mask, self.loc.dtype)

    def _columns(self, weights: jax.Array, sign: float) -> list[jax.Array]:
        """The m columns of [sign G; I], each [..., n + m]."""
        scaled = sign * (weights / jnp.sqrt(self.diag))[..., None] * self.factor
        unit = jnp.broadcast_to(jnp.eye(self.rank, dtype=scaled.dtype), (*self.batch_shape, self.rank, self.rank))
        both = jnp.concatenate([scaled, unit], -2)
        return [both[..., j] for j in range(self.rank)]

    def _log_normaliser(self, weights: jax.Array, log_det: jax.Array) -> jax.Array:
        """log of (2 pi)^(n/2) |Sigma|^(1/2)."""
        return 0.5 * ((weights * (LOG_2PI + jnp.log(self.diag))).sum(-1) + log_det)

    def log_prob(self, value: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """log density of any value [..., n]. For a sample with small `diag`, `sample_from_noise` is more exact."""
        weights = self._weights(mask)
        scaled = weights * (value - self.loc) / jnp.sqrt(self.diag)
        zeros = jnp.zeros((*scaled.shape[:-1], self.rank), scaled.dtype)
        square, log_det = _project_out(self._columns(weights, 1.0), jnp.concatenate([scaled, zeros], -1))
        return -0.5 * square - self._log_normaliser(weights, log_det)

    def entropy(self, mask: jax.Array | None = None) -> jax.Array:
        """(n (1 + log 2 pi) + log |Sigma|) / 2, [...]."""
        weights = self._weights(mask)
        columns = self._columns(weights, 1.0)
        _, log_det = _project_out(columns, jnp.zeros_like(columns[0]))
        return 0.5 * weights.sum(-1) + self._log_normaliser(weights, log_det)

    def sample_from_noise(
        self, own: jax.Array, shared: jax.Array, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(x, log density of x) of x = loc + sqrt(d) own + L shared (IAC eq. 14), for the caller's unit noise.

        own [..., n], shared [..., m] -> [..., n], [...]. Exact in float32 for the smallest `diag`; its derivative is
        the total one, through the sample and the parameters, though the residual of `x` is never formed.
        """
        weights = self._weights(mask)
        x = self.loc + jnp.sqrt(self.diag) * own + (self.factor * shared[..., None, :]).sum(-1)
        noise = jnp.concatenate([weights * own, jnp.broadcast_to(shared, (*x.shape[:-1], self.rank))], -1)
        square, log_det = _project_out(self._columns(weights, -1.0), noise)
        return x, -0.5 * square - self._log_normaliser(weights, log_det)

    def _noise(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        k_own, k_shared = jax.random.split(key)
        shared = (n, *self.batch_shape, self.rank)
        own = jax.random.normal(k_own, (n, *self.loc.shape), self.loc.dtype)
        return own, jax.random.normal(k_shared, shared, self.loc.dtype)

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        return self._sample_n_and_log_prob(key, n)[0]

    def _sample_n_and_log_prob(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        return self.sample_from_noise(*self._noise(key, n))
