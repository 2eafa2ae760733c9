"""The table of verbs: where each one lives, and one line about it. Pure; no verb is imported to read it."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "run": ("run", "Create and run a new container from an image"),
    "exec": ("exec", "Execute a command in a running container"),
    "ps": ("ps", "List containers"),
    "images": ("images", "List images"),
    "version": ("system", "Show the version information"),
    "info": ("system", "Display system-wide information"),
    "attach": ("attach", "Attach local standard input, output, and error streams to a running container"),
    "cp": ("cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("create", "Create a new container"),
    "diff": ("files", "Inspect changes to files or directories on a container's filesystem"),
    "events": ("events", "Get real time events from the engine"),
    "export": ("files", "Export a container's filesystem as a tar archive"),
    "history": ("images", "Show the history of an image"),
    "import": ("transfer", "Import the contents from a tarball to create a filesystem image"),
    "inspect": ("inspect", "Return low-level information on containers, images and volumes"),
    "kill": ("lifecycle", "Kill one or more running containers"),
    "load": ("transfer", "Load an image from a tar archive or STDIN"),
    "logs": ("logs", "Fetch the logs of a container"),
    "pause": ("lifecycle", "Pause all processes within one or more containers"),
    "login": ("login", "Log in to a registry"),
    "logout": ("login", "Log out from a registry"),
    "pull": ("registry", "Download an image from a registry"),
    "push": ("registry", "Upload an image to a registry"),
    "rename": ("lifecycle", "Rename a container"),
    "restart": ("lifecycle", "Restart one or more containers"),
    "rm": ("lifecycle", "Remove one or more containers"),
    "rmi": ("images", "Remove one or more images"),
    "save": ("transfer", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "start": ("start", "Start one or more stopped containers"),
    "stats": ("stats", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("lifecycle", "Stop one or more running containers"),
    "tag": ("images", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "top": ("stats", "Display the running processes of a container"),
    "unpause": ("lifecycle", "Unpause all processes within one or more containers"),
    "update": ("lifecycle", "Update configuration of one or more containers"),
    "wait": ("lifecycle", "Block until one or more containers stop, then print their exit codes"),
    "serve": ("serve", "Run the engine in the foreground"),
    "shutdown": ("serve", "Stop the containers and the engine"),
    "container inspect": ("inspect", "Display detailed information on one or more containers"),
    "container prune": ("prune", "Remove all stopped containers"),
    "image inspect": ("inspect", "Display detailed information on one or more images"),
    "image prune": ("prune", "Remove unused images"),
    "volume inspect": ("inspect", "Display detailed information on one or more volumes"),
    "volume ls": ("volume", "List volumes"),
    "volume prune": ("prune", "Remove volumes that no container holds"),
    "volume rm": ("volume", "Remove one or more volumes"),
    "system df": ("df", "Show disk usage"),
    "system prune": ("prune", "Remove what nobody uses any more"),
}
"""Verb → the module below ``verbs`` that holds it, and its summary."""

COMMON = ("run", "exec", "ps", "images", "version", "info")
"""The verbs that help lists first."""

_CONTAINER_WORDS = (
    "attach cp create diff exec export kill logs pause rename restart rm run start stats stop top unpause update wait"
)

GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "container": (
        "Manage containers",
        {
            **{name: name for name in _CONTAINER_WORDS.split()},
            "inspect": "container inspect",
            "ls": "ps",
            "prune": "container prune",
        },
    ),
    "image": (
        "Manage images",
        {
            **{name: name for name in ("history", "import", "load", "pull", "push", "save", "tag")},
            "inspect": "image inspect",
            "ls": "images",
            "prune": "image prune",
            "rm": "rmi",
        },
    ),
    "system": (
        "Manage the engine",
        {"df": "system df", "events": "events", "info": "info", "prune": "system prune"},
    ),
    "volume": (
        "Manage volumes",
        {"inspect": "volume inspect", "ls": "volume ls", "prune": "volume prune", "rm": "volume rm"},
    ),
}
"""Management word → its summary and its verbs."""

ALIASES = {"list": "ls", "ps": "ls", "remove": "rm"}
"""Other words for a group's verbs."""

REFUSED = {
    "volume create": "volumes have no names of their own: a container makes its volumes with -v PATH, "
    "others take them with --volumes-from CONTAINER",
}
"""Words of Docker's that the data-volume specification rules out, and why."""
