"""Networks against slow NumPy loops, and their invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.networks.critic import AgentCritic, TeamCritic
from iacjax.networks.intrinsic_reward import AttentionReward, MlpReward
from iacjax.networks.recurrent import ResetGRU
from iacjax.networks.recurrent_critic import RecurrentCritic
from iacjax.networks.rnn_agent import RnnAgent

T, B, A, F, U, H = 5, 2, 3, 4, 3, 6
QUICK = {"xla_backend_optimization_level": 0}  # compile seconds matter here, run time does not
RNG = np.random.default_rng(0)
OBS = RNG.normal(size=(T, B, A, F)).astype(np.float32)
ACTION = RNG.integers(-1, U, (T, B, A))
FIRST = np.zeros((T, B), bool)
FIRST[0, 1] = FIRST[3, 0] = True
HIDDEN = RNG.normal(size=(B, A, H)).astype(np.float32)
ALIVE = RNG.random((T, B, A)) < 0.7
ALIVE[0], ALIVE[1], ALIVE[2, 0] = True, False, [True, False, True]


def randomised(net, *inputs):
    """Parameters with every leaf random, biases and ids too, so that none is 0 by chance."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(net.init, jax.random.key(0), *inputs))
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(tree, [(0.4 * rng.normal(size=x.shape)).astype(np.float32) for x in leaves])


def layers(params):
    """Parameters by layer, without the level that our Dense puts around flax's."""
    if list(params) == ["Dense_0"] and "kernel" in params["Dense_0"]:
        return params["Dense_0"]
    return {name: layers(tree) if isinstance(tree, dict) else tree for name, tree in params.items()}


def apply(net, *inputs):
    return jax.tree.map(np.asarray, jax.jit(net.apply, compiler_options=QUICK)(*inputs))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_loop(p, h, x, first):
    """PyTorch's nn.GRU, one element at a time: r, z, n = the input's three projections; b_hn inside r * (.)."""
    out = np.zeros((*x.shape[:-1], H))
    h = h.copy()
    for t in range(len(x)):
        for e in np.ndindex(x.shape[1:-1]):
            if first[t][e]:
                h[e] = 0.0
            gx = [x[t][e] @ p[gate]["kernel"] + p[gate]["bias"] for gate in ("reset", "update", "candidate")]
            gh = np.split(h[e] @ p["recurrent"], 3)
            r, z = sigmoid(gx[0] + gh[0]), sigmoid(gx[1] + gh[1])
            n = np.tanh(gx[2] + r * (gh[2] + p["candidate_bias"]))
            h[e] = (1 - z) * n + z * h[e]
            out[t][e] = h[e]
    return h, out


def test_gru_against_a_loop():
    net = ResetGRU(H)
    x, first = RNG.normal(size=(T, B, F)).astype(np.float32), FIRST
    variables = randomised(net, HIDDEN[:, 0], x, first)
    carry, out = apply(net, variables, HIDDEN[:, 0], x, first)
    carry_loop, out_loop = gru_loop(layers(variables["params"]), HIDDEN[:, 0], x, first)
    np.testing.assert_allclose(out, out_loop, atol=1e-5)
    np.testing.assert_allclose(carry, carry_loop, atol=1e-5)


def test_reset_comes_before_the_step():
    net = ResetGRU(H)
    x = RNG.normal(size=(T, B, F)).astype(np.float32)
    variables = randomised(net, HIDDEN[:, 0], x, FIRST)
    _, out = apply(net, variables, HIDDEN[:, 0], x, FIRST)
    _, fresh = apply(net, variables, np.zeros((B, H), np.float32), x[3:], np.zeros((2, B), bool))
    np.testing.assert_allclose(out[3:, 0], fresh[:, 0], atol=1e-6)  # environment 0 opens an episode at row 3
    _, other = apply(net, variables, HIDDEN[:, 0] + 1.0, x, FIRST)
    np.testing.assert_array_equal(out[3:, 0], other[3:, 0])
    np.testing.assert_array_equal(out[:, 1], other[:, 1])  # environment 1 opens one at row 0
    assert np.abs(out[:3, 0] - other[:3, 0]).max() > 1e-3


def actor_apply(shared, obs=OBS, hidden=HIDDEN, change=lambda p: p):
    net = RnnAgent(H, U, shared)
    variables = change(randomised(net, HIDDEN, OBS, ACTION, FIRST))
    return variables, apply(net, variables, hidden, obs, ACTION, FIRST)


def test_shared_actor_against_a_loop():
    variables, (carry, logits) = actor_apply(shared=True)
    (p,) = layers(variables["params"]).values()
    one_hot, ids = np.where(ACTION[..., None] == np.arange(U), 1.0, 0.0), np.tile(np.eye(A), (T, B, 1, 1))
    x = np.concatenate([OBS, one_hot, ids], -1)
    x = np.maximum(x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"], 0.0)
    carry_loop, x = gru_loop(p["ResetGRU_0"], HIDDEN, x, np.repeat(FIRST[..., None], A, -1))
    np.testing.assert_allclose(logits, x @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"], atol=1e-5)
    np.testing.assert_allclose(carry, carry_loop, atol=1e-5)


def layer_norm_loop(p, x):
    """PyTorch's nn.LayerNorm: eps 1e-5 under the root."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


def test_actor_with_layer_norms_against_a_loop():
    """MAPPO's code: LayerNorm of the inputs, after the encoder's ReLU and of the GRU's output."""
    net = RnnAgent(H, U, layer_norm=True)
    variables = randomised(net, HIDDEN, OBS, ACTION, FIRST)
    carry, logits = apply(net, variables, HIDDEN, OBS, ACTION, FIRST)
    (p,) = layers(variables["params"]).values()
    one_hot, ids = np.where(ACTION[..., None] == np.arange(U), 1.0, 0.0), np.tile(np.eye(A), (T, B, 1, 1))
    x = layer_norm_loop(p["norm_input"], np.concatenate([OBS, one_hot, ids], -1))
    x = layer_norm_loop(p["norm_encoder"], np.maximum(dense(p["Dense_0"], x), 0.0))
    carry_loop, x = gru_loop(p["ResetGRU_0"], HIDDEN, x, np.repeat(FIRST[..., None], A, -1))
    np.testing.assert_allclose(logits, dense(p["Dense_1"], layer_norm_loop(p["norm_memory"], x)), atol=2e-5)
    np.testing.assert_allclose(carry, carry_loop, atol=1e-5)  # the memory itself is not normalised


@pytest.mark.parametrize("memory", [True, False])
def test_critic_with_layer_norms_against_a_loop(memory):
    net, state = RecurrentCritic(H, U, "state_and_obs", memory, layer_norm=True), np.sin(OBS.sum(2))
    variables = randomised(net, HIDDEN, state, OBS, ACTION, FIRST)
    _, value = apply(net, variables, HIDDEN, state, OBS, ACTION, FIRST)
    p = layers(variables["params"])
    one_hot = np.where(ACTION[..., None] == np.arange(U), 1.0, 0.0)
    x = p["id"] + dense(p["state"], layer_norm_loop(p["norm_state"], state))[..., None, :]
    x = x + dense(p["own"], layer_norm_loop(p["norm_own"], np.concatenate([OBS, one_hot], -1)))
    x = layer_norm_loop(p["norm_encoder"], np.maximum(x, 0.0))
    if memory:
        _, x = gru_loop(p["gru"], HIDDEN, x, np.repeat(FIRST[..., None], A, -1))
        x = layer_norm_loop(p["norm_memory"], x)
    else:
        x = layer_norm_loop(p["norm_second"], np.maximum(dense(p["second"], x), 0.0))
    np.testing.assert_allclose(value, dense(p["value"], x)[..., 0], atol=2e-5)


def test_independent_actors_have_their_own_parameters():
    variables, (_, logits) = actor_apply(shared=False)
    assert all(x.shape[0] == A for x in jax.tree.leaves(variables))
    start = RnnAgent(1, U, shared=False).init
    start = jax.jit(start, compiler_options=QUICK)(jax.random.key(0), HIDDEN[..., :1], OBS, ACTION, FIRST)
    encoders = [x for x in jax.tree.leaves(start) if x.shape == (A, F + U, 1)]
    assert len(encoders) == 1 and len(np.unique(encoders[0][:, 0, 0])) == A  # and their own start

    def only_agent_1(variables):
        return jax.tree.map(lambda x: x + 0.5 * (np.arange(A) == 1).reshape(A, *[1] * (x.ndim - 1)), variables)

    _, (_, changed) = actor_apply(shared=False, change=only_agent_1)
    np.testing.assert_array_equal(changed[:, :, [0, 2]], logits[:, :, [0, 2]])
    assert np.abs(changed[:, :, 1] - logits[:, :, 1]).max() > 1e-3


@pytest.mark.parametrize("shared", [True, False])
def test_an_actor_sees_its_own_observation_only(shared):
    _, (_, logits) = actor_apply(shared)
    obs = OBS.copy()
    obs[:, :, 2] += 1.0
    _, (_, changed) = actor_apply(shared, obs=obs)
    np.testing.assert_array_equal(changed[:, :, :2], logits[:, :, :2])
    assert np.abs(changed[:, :, 2] - logits[:, :, 2]).max() > 1e-3


def test_shared_agents_differ_by_their_id_alone():
    same_obs, same_hidden = np.repeat(OBS[:, :, :1], A, 2), np.repeat(HIDDEN[:, :1], A, 1)
    net = RnnAgent(H, U)
    variables = randomised(net, HIDDEN, OBS, ACTION, FIRST)
    action = np.repeat(ACTION[:, :, :1], A, 2)
    _, logits = apply(net, variables, same_hidden, same_obs, action, FIRST)
    assert np.abs(logits[:, :, 0] - logits[:, :, 1]).max() > 1e-3

    def without_ids(x):
        return np.concatenate([x[: F + U], np.zeros((A, H))]) if x.shape == (F + U + A, H) else x

    _, logits = apply(net, jax.tree.map(without_ids, variables), same_hidden, same_obs, action, FIRST)
    np.testing.assert_allclose(logits[:, :, 0], logits[:, :, 1], atol=1e-6)


# ---- AIIR, eq. 9 to 12


def dense(p, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def similarity(p, kind, a, b):
    if kind == "dot":
        return a @ b
    if kind == "cosine":
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return dense(p["score"], np.maximum(dense(p["query"], a) + dense(p["key"], b), 0.0))[0]


def attention_loop(p, kind, obs, action, alive, bound, end="linear", temperature=1.0):
    r_in, weights = np.zeros(A), np.zeros((A, A))
    v = np.concatenate([obs, np.where(action[:, None] == np.arange(U), 1.0, 0.0)], -1)
    v = dense(p["Dense_1"], np.maximum(dense(p["Dense_0"], v), 0.0))
    v = np.maximum(v, 0.0) if end == "relu" else v
    for i in np.flatnonzero(alive):
        living = np.flatnonzero(alive)
        score = np.exp([similarity(p, kind, v[i], v[j]) / temperature for j in living])
        weights[i, living] = score / score.sum()
        z = sum(weights[i, j] * v[j] for j in living)
        r_in[i] = bound * np.tanh(dense(p["Dense_2"], np.concatenate([v[i], z]))[0] / bound)
    return r_in, weights


@pytest.mark.parametrize(
    "kind, end, temperature", [("cosine", "linear", 0.25), ("dot", "relu", 2.0), ("mlp", "linear", 1.0)]
)
def test_attention_reward_against_a_loop(kind, end, temperature):
    net = AttentionReward(H, U, kind, 2.0, end, temperature)
    variables = randomised(net, OBS, ACTION, ALIVE)
    r_in, weights = apply(net, variables, OBS, ACTION, ALIVE)
    p = layers(variables["params"])
    for e in np.ndindex(T, B):
        expected = attention_loop(p, kind, OBS[e], ACTION[e], ALIVE[e], 2.0, end, temperature)
        np.testing.assert_allclose(r_in[e], expected[0], atol=2e-5)
        np.testing.assert_allclose(weights[e], expected[1], atol=2e-5)
    assert np.abs(r_in).max() < 2.0 and np.abs(r_in).std() > 0.05
    assert not weights[1].any() and not r_in[1].any()  # nobody alive
    assert not weights[2, 0, :, 1].any() and not weights[2, 0, 1].any()  # agent 1 dead


@pytest.mark.parametrize("kind", ["cosine", "dot", "mlp"])
def test_attention_reward_permutes_with_the_agents(kind):
    net, order = AttentionReward(H, U, kind), [2, 0, 1]
    variables = randomised(net, OBS, ACTION, ALIVE)
    r_in, weights = apply(net, variables, OBS, ACTION, ALIVE)
    moved, moved_weights = apply(net, variables, OBS[:, :, order], ACTION[:, :, order], ALIVE[:, :, order])
    np.testing.assert_allclose(moved, r_in[:, :, order], atol=1e-5)
    np.testing.assert_allclose(moved_weights, weights[:, :, order][:, :, :, order], atol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "dot", "mlp"])
def test_attention_gradients_at_zero_vectors_and_of_the_dead(kind):
    """v = 0 where the observation and the biases are 0; the dead pass no gradient to their observation."""
    net = AttentionReward(H, U, kind)
    variables = randomised(net, OBS, ACTION, ALIVE)
    unbiased = jax.tree.map(lambda x: x * (x.ndim > 1), variables)  # as biases start

    def total(variables, obs, action):
        r_in, weights = net.apply(variables, obs, action, ALIVE)
        return (r_in * jnp.arange(1.0, A + 1)).sum() + (weights * jnp.arange(A)).sum()

    grad = jax.jit(jax.grad(total, argnums=(0, 1)), compiler_options=QUICK)
    at_zero = grad(unbiased, np.zeros_like(OBS), np.full_like(ACTION, -1))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(at_zero))
    grad_obs = np.asarray(grad(variables, OBS, ACTION)[1])
    assert not grad_obs[~ALIVE].any() and np.abs(grad_obs[ALIVE]).max() > 1e-3


def test_cosine_of_parallel_and_opposite_vectors():
    """Embeddings (3, 0), (0, 0.5) and (-2, 0), whose length does not matter: cosines 1, 0 and -1.

    Agent 0: e, 1 and 1/e of 4.086161: 0.665241, 0.244728, 0.090031. Agent 1: 1, e, 1 of 4.718282. At temperature 1/4:
    e^4, 1, e^-4 of 55.616466. After a ReLU the third is (0, 0): cosines 1, 0, 0, the weights e and 1, 1 of 4.718282.
    """
    obs = np.array([[3.0, 0.0], [0.0, 0.5], [-2.0, 0.0]], np.float32)
    none, alive = np.full(3, -1), np.ones(3, bool)
    net = AttentionReward(2, U, "cosine")
    variables = jax.tree.map(np.zeros_like, randomised(net, obs, none, alive))
    p = layers(variables["params"])
    p["Dense_0"]["kernel"][:2] = p["Dense_1"]["kernel"][:] = np.eye(2, dtype=np.float32)
    p["Dense_0"]["bias"][:], p["Dense_1"]["bias"][:] = 5.0, -5.0  # so that the first ReLU passes all
    _, weights = apply(net, variables, obs, none, alive)
    np.testing.assert_allclose(weights[0], [0.665241, 0.244728, 0.090031], atol=1e-5)
    np.testing.assert_allclose(weights[1], [0.211942, 0.576117, 0.211942], atol=1e-5)
    _, weights = apply(AttentionReward(2, U, "cosine", temperature=0.25), variables, obs, none, alive)
    np.testing.assert_allclose(weights[0], [0.981690, 0.017980, 0.000329], atol=1e-5)
    _, weights = apply(AttentionReward(2, U, "cosine", end="relu"), variables, obs, none, alive)
    np.testing.assert_allclose(weights[0], [0.576117, 0.211942, 0.211942], atol=1e-5)


def mlp_reward():
    net, inputs = MlpReward(H, U, bound=2.0), (OBS, ACTION, ALIVE, np.sin(OBS.sum(2)), ACTION[::-1])
    return net, randomised(net, *inputs), inputs


def test_mlp_reward_against_a_loop():
    """As LIIR's code has it: one layer on the concatenation, and the output of the agent's own action."""
    net, variables, inputs = mlp_reward()
    obs, action, alive, state, last = inputs
    r_in, weights = apply(net, variables, *inputs)
    p = layers(variables["params"])
    one_hot = np.eye(U + 1)[:, :U]  # the last row is that of -1: nothing
    kernel = np.concatenate([p[name]["kernel"] for name in ("team", "own", "others")] + [p["id"]])
    for t, b, i in np.ndindex(T, B, A):
        others = [one_hot[action[t, b, j]] * (j != i) for j in range(A)]
        x = np.concatenate([state[t, b], *one_hot[last[t, b]], obs[t, b, i], *others, np.eye(A)[i]])
        x = np.maximum(x @ kernel + p["team"]["bias"], 0.0)
        by_action = dense(p["Dense_1"], np.maximum(dense(p["Dense_0"], x), 0.0))
        mine = by_action[action[t, b, i]] if action[t, b, i] >= 0 and alive[t, b, i] else 0.0
        np.testing.assert_allclose(r_in[t, b, i], 2 * np.tanh(mine / 2), atol=1e-5)
    assert r_in.std() > 0.05
    np.testing.assert_array_equal(weights, np.eye(A) * alive[..., None])


def test_mlp_reward_is_of_the_own_action_among_the_others():
    """Zero but for the last layer's bias (0.5, -1, 3): 10 tanh(0.05) = 0.499584, 10 tanh(0.3) = 2.913126."""
    net, variables, inputs = mlp_reward()
    zero = jax.tree.map(np.zeros_like, variables)
    layers(zero["params"])["Dense_1"]["bias"][:] = [0.5, -1.0, 3.0]
    obs, _, _, state, last = (x[0, 0] for x in inputs)
    r_in, _ = apply(MlpReward(H, U), zero, obs, np.array([0, 2, -1]), np.ones(A, bool), state, last)
    np.testing.assert_allclose(r_in, [0.499584, 2.913126, 0.0], atol=1e-5)


# ---- critics


@pytest.mark.parametrize("with_others", [False, True])
def test_agent_critic_against_a_loop(with_others):
    """The paper-like form: one Dense on the concatenation of state, own inputs, id and the others' actions."""
    net = AgentCritic(H, U)
    state, others = RNG.normal(size=(T, B, 5)).astype(np.float32), ACTION[::-1] if with_others else None
    variables = randomised(net, state, OBS, ACTION, others)
    value = apply(net, variables, state, OBS, ACTION, others)
    p = layers(variables["params"])
    one_hot = np.eye(U + 1)[:, :U]  # the last row is that of -1: nothing
    for t, b, i in np.ndindex(T, B, A):
        x = dense(p["state"], state[t, b]) + p["id"][i]
        x = x + dense(p["own"], np.concatenate([OBS[t, b, i], one_hot[ACTION[t, b, i]]]))
        for j in range(A if with_others else 0):
            x = x + (one_hot[others[t, b, j]] @ p["others"][j] if j != i else 0.0)
        x = np.maximum(dense(p["Dense_0"], np.maximum(x, 0.0)), 0.0)
        np.testing.assert_allclose(value[t, b, i], dense(p["Dense_1"], x)[0], atol=1e-5)


def test_agent_critic_does_not_see_its_own_action():
    net = AgentCritic(H, U)
    state, action = RNG.normal(size=(T, B, 5)).astype(np.float32), np.zeros((T, B, A), int)
    variables = randomised(net, state, OBS, ACTION, action)
    value = apply(net, variables, state, OBS, ACTION, action)
    action[:, :, 1] = 2
    changed = apply(net, variables, state, OBS, ACTION, action)
    np.testing.assert_allclose(changed[:, :, 1], value[:, :, 1], atol=1e-6)
    assert np.abs(changed[:, :, [0, 2]] - value[:, :, [0, 2]]).max() > 1e-2


def test_team_critic():
    net, state = TeamCritic(H), RNG.normal(size=(T, B, 5)).astype(np.float32)
    variables = randomised(net, state)
    p = layers(variables["params"])
    x = np.maximum(dense(p["Dense_1"], np.maximum(dense(p["Dense_0"], state), 0.0)), 0.0)
    np.testing.assert_allclose(apply(net, variables, state), dense(p["Dense_2"], x)[..., 0], atol=1e-5)
