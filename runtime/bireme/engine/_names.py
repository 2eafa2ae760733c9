"""A name for a container whose user has given none: two words, so that people can say it."""

from __future__ import annotations

import random
from collections.abc import Callable

_FIRST = (
    "able agile amber ample azure bold brave breezy bright brisk calm candid clever coastal copper coral crisp "
    "curious daring dapper deft eager early easy fair fearless fleet fond frank fresh gallant gentle gilded glad "
    "golden grand happy hardy hearty honest humble ideal jolly jovial keen kind lively loyal lucid lucky mellow merry "
    "mighty modest neat nimble noble open patient placid polite proud quick quiet rapid ready robust rosy salty "
    "serene sharp silver sleek smooth snug sober solid steady sturdy sunny sure swift tidal tidy true trusty upbeat "
    "valiant vivid warm wise"
)
_SECOND = (
    "anchor argo barge bark beacon bosun bow brig brine buoy caique captain caravel carrack clipper cog compass "
    "coxswain crew current cutter deck dhow dinghy dory drakkar drifter felucca ferry fleet frigate galleon galley "
    "gangway gig harbour hawser helm hull jetty jib junk keel ketch lateen launch liburna lighter lugger mainsail "
    "mast mate mooring navigator oar oarsman outrigger packet pilot pinnace pontoon port prow quay ram rigger rudder "
    "sail sampan schooner scull sextant skiff skipper sloop spar stern stroke tender thwart tide tiller trawler "
    "trireme tug wake whaler yawl"
)
_FIRST_WORDS, _SECOND_WORDS = _FIRST.split(), _SECOND.split()


def new_name(taken: Callable[[str], bool]) -> str:
    """A name that is not ``taken``; a number follows where the words alone have run out."""
    for attempt in range(64):
        name = f"{random.choice(_FIRST_WORDS)}_{random.choice(_SECOND_WORDS)}"
        if attempt >= 4:
            name += str(random.randrange(10 ** min(attempt, 9)))
        if not taken(name):
            return name
    raise AssertionError("a billion names cannot all be taken")
