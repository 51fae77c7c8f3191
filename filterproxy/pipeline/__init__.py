"""From evidence to a verdict: registry, runner, policy, reply, header edits and records."""

from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.pipeline.pipeline import EnvelopeRules, Pipeline, PipelineOptions, Scan, Verdict
from filterproxy.pipeline.policy import ScoringPolicy, decide
from filterproxy.pipeline.profile import Profile, Profiles
from filterproxy.pipeline.record import Recorder
from filterproxy.pipeline.registry import CheckSet, build, discover
from filterproxy.pipeline.reply import Delivery

__all__ = [
    "CheckSet",
    "Delivery",
    "EnvelopeRules",
    "HeaderEdits",
    "Pipeline",
    "PipelineOptions",
    "Profile",
    "Profiles",
    "Recorder",
    "Scan",
    "ScoringPolicy",
    "Verdict",
    "build",
    "decide",
    "discover",
]
