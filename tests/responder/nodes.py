"""What stands for the nodes of a fleet where these are processes of this host: the engines that its nodes have."""

from responder.worker import NODE

WORKER = NODE
