"""Traffic that no program of the lab makes: drawn from profiles, or taken from captures."""

from launcher.injection.capture import Conversation, Packet, read_conversations
from launcher.injection.learn import learn
from launcher.injection.profile import Profile, load_profile, profiles

__all__ = [
    "Conversation",
    "Packet",
    "Profile",
    "learn",
    "load_profile",
    "profiles",
    "read_conversations",
]
