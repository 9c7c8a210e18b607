"""The claims of both papers. Data only: where each stands, what it says, and what tests it."""

from typing import NamedTuple

from experiments.figures.claims.comparisons import Level, Rivals, Source

GOOD, POOR = 0.8, 0.5  # win rates; the paper's "good" and "poor" have no numbers
FAILS = 0.2


class Claim(NamedTuple):
    """A claim of a paper."""

    key: str
    where: str  # it stands in the paper
    says: str
    tests: tuple[Rivals | Level, ...]  # all of them must hold
    checks: tuple[str, ...] = ()  # names of `other_checks`


_FIG3 = (
    Source("aiir/fig3", "paper", "published settings, 2 M steps"),
    Source("aiir/fig3", "tuned", "tuned settings, 2 M steps"),
    Source("aiir/published/fig3", "small", "published settings, 0.5 M steps"),
    Source("aiir/fig3", "small", "tuned settings, 0.5 M steps"),
)
_SPARSE = tuple(
    Source(f"aiir/{form}", budget, f"{text}, {steps}")
    for budget, steps in (("full", "1 M steps"), ("small", "0.3 M steps"))
    for form, text in (("win", "only wins count"), ("semisparse", "semi-sparse"), ("sparse", "sparse"))
)
_FIG4 = (
    Source("iac/fig4", "paper", "the paper's tables, 1 M steps"),
    Source("iac/fig4", "tuned", "tuned settings"),
    Source("iac/fig4", "small", "tuned settings, few steps, before later corrections"),
)
_FIG6 = (
    Source("iac/fig6", "paper", "the paper's tables"),
    Source("iac/fig6", "tuned", "tuned settings, 0.5 M steps"),
    Source("iac/fig6", "small", "tuned settings, 0.24 M steps"),
)
_MAPS = ("smax:MMM", "smax:3s5z", "smax:2s3z", "smax:8m")
_MIXED = _MAPS[:3]
_TWO = ("smax:8m", "smax:2s3z")
_DECISIVE, _FIRST = _FIG4[:2], _FIG4[2:]  # the first rows are of two pendulums
_VALUE_BASED = ("iac", "siaq", "ddpg_mix")
_PREY, _PARTIAL = ("predator_prey",), ("po_predator_prey",)

AIIR_MIX = (
    Claim(
        "best-on-four-maps",
        "section 5.2, figure 3",
        "For all scenarios, AIIR-MIX consistently outperforms the other algorithms.",
        (Rivals(_FIG3, ("aiir_mix",), ("liir", "coma", "qmix", "qtran"), _MAPS),),
    ),
    Claim(
        "liir-masters-8m",
        "section 5.2, figure 3",
        "LIIR can master homogeneous scenarios, such as 8m.",
        (Level(_FIG3, ("liir",), ("smax:8m",), least=GOOD),),
    ),
    Claim(
        "liir-poor-elsewhere",
        "section 5.2, figure 3",
        "In heterogeneous scenarios (MMM, 2s3z, 3s5z) LIIR has a slow convergence speed and poor performance.",
        (Level(_FIG3, ("liir",), _MIXED, most=POOR),),
    ),
    Claim(
        "qmix-good-mixed",
        "section 5.2, figure 3",
        "QMIX obtains good performance in MMM, 2s3z and 3s5z.",
        (Level(_FIG3, ("qmix",), _MIXED, least=GOOD),),
    ),
    Claim(
        "qmix-poor-8m",
        "section 5.2, figure 3",
        "QMIX performs relatively poorly in 8m.",
        (Rivals(_FIG3, ("aiir_mix", "liir"), ("qmix",), ("smax:8m",)),),
    ),
    Claim(
        "qtran-good-mixed",
        "section 5.2, figure 3",
        "QTRAN obtains good performance in MMM and 2s3z.",
        (Level(_FIG3, ("qtran",), ("smax:MMM", "smax:2s3z"), least=GOOD),),
    ),
    Claim(
        "q-learners-slow",
        "section 5.2, figure 3",
        "QMIX and QTRAN converge at a much slower pace than other state-of-the-art algorithms.",
        (Rivals(_FIG3, ("aiir_mix", "liir"), ("qmix", "qtran"), _MAPS, threshold=GOOD),),
    ),
    Claim(
        "coma-fails",
        "section 5.2, figure 3",
        "COMA fails to perform well in MMM, 2s3z and 3s5z.",
        (Level(_FIG3, ("coma",), _MIXED, most=FAILS),),
    ),
    Claim(
        "best-of-ablations",
        "section 5.3, figure 4",
        "AIIR-MIX outperforms all its ablations (RMIX without the attention, AIIR without the mixing) and LIIR.",
        (Rivals(_FIG3, ("aiir_mix",), ("rmix", "aiir", "liir"), _TWO),),
    ),
    Claim(
        "ablations-slow-8m",
        "section 5.3, figure 4a",
        "On 8m, RMIX and AIIR slow down the learning speed compared with LIIR.",
        (Rivals(_FIG3, ("liir",), ("rmix", "aiir"), ("smax:8m",), threshold=GOOD),),
    ),
    Claim(
        "mixing-needed",
        "section 5.3, figure 4b",
        "In heterogeneous scenarios (2s3z) a non-linear mixing network is required for better performance.",
        (Rivals(_FIG3, ("aiir_mix", "rmix"), ("aiir", "liir"), ("smax:2s3z",)),),
    ),
    Claim(
        "attention-to-zealots",
        "section 5.4, figure 5",
        "Zealots always pay more attention to the other two zealots than to the stalkers.",
        (),
        ("attention",),
    ),
    Claim(
        "sparse",
        "sections 1 and 4: the reason for intrinsic rewards",
        "Individual intrinsic rewards help agents to learn where the team's reward is sparse.",
        (Rivals(_SPARSE, ("aiir_mix",), ("no_intrinsic",), ("smax:3m", "smax:8m", "smax:2s3z")),),
    ),
)
IAC = (
    Claim(
        "qmix-suboptimal",
        "section 3, tables 2 and 3",
        "Under uniform visitation QMIX learns a suboptimal policy in the matrix game.",
        (),
        ("matrix_qmix",),
    ),
    Claim(
        "qmixs-optimal",
        "section 3, table 4",
        "QMIXs, whose agents know each other's actions, finds the optimal solution.",
        (),
        ("matrix_qmixs",),
    ),
    Claim(
        "simple-world",
        "section 5.3, figure 2",
        "In Simple World only IAC moves to the higher peak; DDPG-MIX and Attn-QMIX end at the lower one.",
        (),
        ("simple_world",),
    ),
    Claim(
        "pendulum-value-based",
        "section 5.3, figure 4",
        "On the pendulums the improvements of IAC, SIAQ and DDPG-MIX over MADDPG and MAAC are apparent.",
        (
            Rivals(_DECISIVE, _VALUE_BASED, ("maddpg", "maac"), ("multi_pendulum:3",), "return_mean"),
            Rivals(_FIRST, _VALUE_BASED, ("maddpg", "maac"), ("multi_pendulum:2",), "return_mean"),
        ),
    ),
    Claim(
        "prey-value-based",
        "section 5.3, figure 4",
        "On predator-prey value-based methods perform better than MADDPG and MAAC.",
        (Rivals(_FIG4, _VALUE_BASED, ("maddpg", "maac"), _PREY, "return_mean"),),
    ),
    Claim(
        "stochastic-better",
        "section 5.3, figure 4",
        "Collaborative exploration is superior to the deterministic policy.",
        (
            Rivals(_FIG4, ("iac",), ("attn_qmix", "ddpg_mix"), (*_PREY, *_PARTIAL), "return_mean"),
            Rivals(_DECISIVE, ("iac",), ("attn_qmix", "ddpg_mix"), ("multi_pendulum:3",), "return_mean"),
            Rivals(_FIRST, ("iac",), ("attn_qmix", "ddpg_mix"), ("multi_pendulum:2",), "return_mean"),
        ),
    ),
    Claim(
        "steps-saved",
        "section 5.3",
        "To a return of 1000 on predator-prey IAC saves 0.295 M steps over DDPG-MIX and 0.06 M over SIAQ.",
        (Rivals(_DECISIVE, ("iac",), ("ddpg_mix", "siaq"), _PREY, "return_mean", 1000.0),),
    ),
    Claim(
        "partial-best",
        "section 5.3, figure 4",
        "On the partially observable predator-prey IAC is more robust than MADDPG, DDPG-MIX, SIAQ and MAAC.",
        (Rivals(_FIG4, ("iac",), ("maddpg", "ddpg_mix", "siaq", "maac"), _PARTIAL, "return_mean"),),
    ),
    Claim(
        "attention-and-covariance",
        "section 5.3, figure 7",
        "IAC and SIAQ are better than SQ and SIQ in steps saved and in the return of the partial version.",
        (
            Rivals(_DECISIVE, ("iac", "siaq"), ("sq", "siq"), _PREY, "return_mean", 1000.0),
            Rivals(_FIG4, ("iac", "siaq"), ("sq", "siq"), _PARTIAL, "return_mean"),
        ),
    ),
    Claim(
        "covariance-positive",
        "section 5.3, figure 5",
        "The covariance of the agents' actions changes from irregular to positive between agents.",
        (),
        ("covariance",),
    ),
    Claim(
        "scales",
        "section 5.3, figure 6",
        "IAC does not deteriorate when pendulums are added, while SIAQ is not scalable.",
        (
            Rivals(_FIG6[:2], ("iac",), ("siaq",), tuple(f"multi_pendulum_shaped:{n}" for n in (5, 8)), "return_mean"),
            Rivals(_FIG6[2:], ("iac",), ("siaq",), ("multi_pendulum_shaped:5",), "return_mean"),
        ),
    ),
)
PAPERS = {"AIIR-MIX": AIIR_MIX, "IAC": IAC}
