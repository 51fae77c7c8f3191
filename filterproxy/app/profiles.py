"""The configured profiles as the pipeline uses them.

The rule: a profile inherits everything that it does not say itself.
"""

from __future__ import annotations

from dataclasses import replace

from filterproxy.config import models
from filterproxy.pipeline import Profile, Profiles, ScoringPolicy


def make_profiles(settings: models.ProfileSettings, policy: ScoringPolicy) -> Profiles:
    """Return the profiles that apply over the general policy."""
    authenticated = _profile(settings.authenticated, policy)
    return Profiles(
        outside=Profile(policy),
        authenticated=replace(authenticated, names_user=settings.authenticated.smtp_auth),
        local=_profile(settings.local, policy),
    )


def _profile(chosen: models.Profile, policy: ScoringPolicy) -> Profile:
    thresholds = policy.thresholds if chosen.actions is None else chosen.actions
    own = replace(policy, thresholds=thresholds, scores={**policy.scores, **chosen.scores})
    return Profile(own, marks=chosen.headers, authentication_results=chosen.authentication_results)
