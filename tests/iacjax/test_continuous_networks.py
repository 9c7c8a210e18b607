"""The networks of the continuous algorithms against slow loops over agents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.networks.attention_critic import AttentionCritic, PlainCritic
from iacjax.networks.exploration import ExplorationNet
from iacjax.networks.mlp import AgentMlp


def relu(x):
    return np.maximum(x, 0.0)


def agent_mlp(params, x, agent):
    """One agent's MLP, layer by layer."""
    params = params.get("layers", params)
    count = len(params) // 2
    for k in range(count):
        x = x @ np.asarray(params[f"kernel_{k}"][agent]) + np.asarray(params[f"bias_{k}"][agent, 0])
        x = x if k == count - 1 else relu(x)
    return x


def test_each_agent_has_its_own_layers():
    net = AgentMlp((5, 4), 3)
    x = jax.random.normal(jax.random.key(0), (2, 7, 3, 6))  # any leading axes, 3 agents, 6 features
    params = net.init(jax.random.key(1), x)
    params = jax.tree.map(lambda p: p + 0.1, params)  # biases that are not 0
    y = net.apply(params, x)
    assert y.shape == (2, 7, 3, 3)
    for agent in range(3):
        due = agent_mlp(params["params"], np.asarray(x[:, :, agent]), agent)
        np.testing.assert_allclose(y[:, :, agent], due, rtol=2e-5, atol=2e-5)


def test_a_shared_mlp_has_one_set_and_tells_agents_apart_by_id_alone():
    net = AgentMlp((5,), 2, shared=True)
    x = jnp.ones((4, 3, 6))
    params = net.init(jax.random.key(0), x)
    assert params["params"]["layers"]["kernel_0"].shape == (1, 6 + 3, 5)
    y = net.apply(params, x)
    assert np.abs(y[:, 0] - y[:, 1]).max() > 1e-3
    layers = params["params"]["layers"]
    layers["kernel_0"] = layers["kernel_0"].at[:, 6:].set(0.0)  # without the ids' weights
    y = net.apply(params, x)
    np.testing.assert_allclose(y[:, 0], y[:, 1], rtol=1e-6)


def test_no_hidden_layer_is_one_linear_layer():
    net = AgentMlp((), 1)
    params = net.init(jax.random.key(0), jnp.zeros((1, 2, 1)))
    shapes = {name: p.shape for name, p in params["params"]["layers"].items()}
    assert shapes == {"kernel_0": (2, 1, 1), "bias_0": (2, 1, 1)}


@pytest.mark.parametrize("bound", ["tanh", "clip"])
def test_the_factor_stays_within_its_limit(bound):
    net = ExplorationNet((8,), num_dims=6, rank=2, limit=0.5, bound=bound, out_scale=50.0)
    state = jax.random.normal(jax.random.key(0), (9, 4))
    factor = net.apply(net.init(jax.random.key(1), state), state)
    assert factor.shape == (9, 6, 2)
    assert np.abs(factor).max() == pytest.approx(0.5, abs=1e-3)  # so large weights reach it
    assert np.abs(factor).max() <= 0.5


def attention_oracle(params, obs, action, heads, scaled):
    """Eq. 19 to 21 for one joint observation and action: (Q [A], weights [heads, A, A])."""
    p = jax.tree.map(np.asarray, params["params"])
    num_agents = obs.shape[0]
    dim = p["value"]["Dense_0"]["kernel"].shape[0]
    size = dim // heads
    e = [relu(agent_mlp(p["g"], np.concatenate([obs[i], action[i]]), i)) for i in range(num_agents)]
    values = []
    for i in range(num_agents):
        v = e[i] @ p["value"]["Dense_0"]["kernel"]
        for k in range(2):
            v = relu(v @ p[f"h_{k}"]["Dense_0"]["kernel"] + p[f"h_{k}"]["Dense_0"]["bias"])
        values.append(v)
    weights, q = np.zeros((heads, num_agents, num_agents)), []
    for i in range(num_agents):
        others = [j for j in range(num_agents) if j != i]
        x = np.zeros(dim)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            query = (e[i] @ p["query"]["Dense_0"]["kernel"])[part]
            scores = np.array([query @ (e[j] @ p["key"]["Dense_0"]["kernel"])[part] for j in others])
            scores = scores / np.sqrt(size) if scaled else scores
            alpha = np.exp(scores) / np.exp(scores).sum()
            weights[head, i, others] = alpha
            x[part] = sum(a * values[j][part] for a, j in zip(alpha, others, strict=True))
        q.append(agent_mlp(p["f"], np.concatenate([e[i], x]), i)[0])
    return np.array(q), weights


@pytest.fixture(params=[True, False])
def attention(request):
    net = AttentionCritic(dim=8, heads=2, scaled=request.param)
    obs = jax.random.normal(jax.random.key(0), (5, 3, 4))
    action = jax.random.normal(jax.random.key(1), (5, 3, 2))
    return net, net.init(jax.random.key(2), obs, action), obs, action


def test_attention_is_the_papers(attention):
    net, params, obs, action = attention
    q, weights = net.apply(params, obs, action)
    for k in range(5):
        due_q, due_weights = attention_oracle(params, np.asarray(obs[k]), np.asarray(action[k]), 2, net.scaled)
        np.testing.assert_allclose(q[k], due_q, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(weights[k], due_weights, rtol=1e-4, atol=1e-6)


def test_nobody_attends_to_itself_and_weights_sum_to_one(attention):
    net, params, obs, action = attention
    weights = np.asarray(net.apply(params, obs, action)[1])
    np.testing.assert_array_equal(np.diagonal(weights, axis1=-2, axis2=-1), 0.0)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)


def test_values_permute_with_the_agents_and_their_parameters(attention):
    net, params, obs, action = attention
    order = np.array([2, 0, 1])
    own = {name: tree for name, tree in params["params"].items() if name in ("g", "f")}
    moved = {"params": {**params["params"], **jax.tree.map(lambda p: p[order], own)}}
    q, _ = net.apply(params, obs, action)
    q_moved, _ = net.apply(moved, obs[:, order], action[:, order])
    np.testing.assert_allclose(q_moved, q[:, order], rtol=1e-5, atol=1e-6)


def test_two_agents_have_one_other_each():
    """What a third agent would weigh is left out: with two, alpha = 1 and x_i = h(V e_j)."""
    net = AttentionCritic(dim=8, heads=2)
    obs, action = jnp.ones((1, 2, 3)), jnp.array([[[0.3], [-0.7]]])
    params = net.init(jax.random.key(0), obs, action)
    unused = {"Dense_0": {"kernel": np.ones((8, 8))}}
    p = {**params["params"], "query": unused, "key": unused}
    q, weights = net.apply(params, obs, action)
    due, due_weights = attention_oracle({"params": p}, np.asarray(obs[0]), np.asarray(action[0]), 2, True)
    np.testing.assert_allclose(q[0], due, rtol=1e-5)
    np.testing.assert_array_equal(weights[0], due_weights)


def test_a_plain_critic_reads_its_own_agent_alone():
    net = PlainCritic((8,))
    obs, action = jnp.ones((3, 4)), jnp.ones((3, 2))
    params = net.init(jax.random.key(0), obs, action)
    slopes = jax.jacobian(lambda a: net.apply(params, obs, a)[0])(action)  # [A, A, D]
    own = np.eye(3, dtype=bool)
    assert (np.abs(slopes).sum(-1)[own] > 0).all()
    np.testing.assert_array_equal(np.abs(slopes).sum(-1)[~own], 0.0)
