"""Message queues over AMQP 1.0: jobs, requests and replies, backlogs and large messages.

The broker is a small one over Qpid Proton, which its clients use too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main, noise, word
from common_pem import server_name

WAIT_S = 5.0
MAX_MESSAGE_BYTES = 400_000
KEPT = 2_000  # messages that a queue holds at most; older ones are dropped


async def serve(service: Service) -> None:
    """Run the broker in a thread of its own."""
    logging.getLogger("proton").setLevel(logging.CRITICAL)
    ready = threading.Event()
    threading.Thread(target=_run_broker, args=(service, ready), daemon=True).start()
    if not ready.wait(WAIT_S):
        raise PeerError("the broker does not start")


def _run_broker(service: Service, ready: threading.Event) -> None:
    from proton.handlers import MessagingHandler
    from proton.reactor import Container

    handler = type("Handler", (Broker, MessagingHandler), {})(service, ready)
    Container(handler).run()


class Broker:
    """Takes messages to queues and hands them to whoever has credit.

    Its methods are the library's events.
    """

    def __init__(self, service: Service, ready: threading.Event) -> None:
        super().__init__()
        self.service, self.ready = service, ready
        self.queues: dict[str, Queue] = defaultdict(Queue)

    def on_start(self, event: Any) -> None:
        """Listen."""
        for port in self.service.ports:
            event.container.listen(f"{self.service.address}:{port}")
        self.ready.set()

    def on_link_opening(self, event: Any) -> None:
        """Somebody wants to send to a queue, or to receive from one."""
        link = event.link
        if not link.is_sender:
            link.target.address = link.remote_target.address
            return
        address = link.remote_source.address
        if link.remote_source.dynamic:
            address = f"reply-{self.service.rng.getrandbits(64):x}"
        link.source.address = address
        self.queues[address].consumers.append(link)

    def on_link_closing(self, event: Any) -> None:
        """Somebody is done."""
        self._forget(event.link)

    def on_disconnected(self, event: Any) -> None:
        """Somebody is gone."""
        link = event.connection.link_head(0) if event.connection else None
        while link:
            self._forget(link)
            link = link.next(0)

    def _forget(self, link: Any) -> None:
        if link.is_sender and link in self.queues[link.source.address].consumers:
            self.queues[link.source.address].consumers.remove(link)

    def on_sendable(self, event: Any) -> None:
        """A consumer has given credit."""
        self.queues[event.link.source.address].hand_out()

    def on_message(self, event: Any) -> None:
        """A message has come."""
        address = event.link.target.address or event.message.address
        self.queues[address].messages.append(event.message)
        self.queues[address].hand_out()
        emit("message", queue=str(address)[:40], bytes=len(event.message.body or b""))


class Queue:
    """Messages that wait, and who wants them."""

    def __init__(self) -> None:
        self.messages: deque[Any] = deque(maxlen=KEPT)
        self.consumers: list[Any] = []

    def hand_out(self) -> None:
        """Send what waits to consumers with credit, in turns."""
        while self.messages:
            ready = [link for link in self.consumers if link.credit > 0]
            if not ready:
                return
            for link in ready:
                if self.messages:
                    link.send(self.messages.popleft())


@contextlib.contextmanager
def _connected(session: Session) -> Iterator[Any]:
    from proton import ProtonException
    from proton.utils import BlockingConnection

    place = f"amqp://{session.peer['address']}:{session.port}"
    begun()
    try:
        connection = BlockingConnection(
            place,
            timeout=WAIT_S,
            heartbeat=session.rng.choice((None, 2, 10)),
            virtual_host=server_name(session.peer["host"]),
        )
        try:
            yield connection
        finally:
            with contextlib.suppress(ProtonException):
                connection.close()
    except ProtonException as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def _message(session: Session, **more: Any) -> Any:
    from proton import Message

    rng = session.rng
    median = float(session.params.get("message_bytes", 400))
    body = b"".join(noise(heavy(rng, median, 1.2, 1, MAX_MESSAGE_BYTES)))
    properties = {word(rng): word(rng) for _ in range(rng.randrange(4))}
    return Message(body=body, properties=properties, durable=rng.random() < 0.5, **more)


def act(session: Session) -> None:
    """Use the broker as the variant says."""
    logging.getLogger("proton").setLevel(logging.CRITICAL)
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "jobs"))
    with _connected(session) as connection:
        if variant == "requests":
            with _connected(session) as worker:
                _requests(session, connection, worker)
        elif variant == "backlog":
            _backlog(session, connection)
        else:
            _jobs(session, connection)


def _queue(session: Session) -> str:
    """A queue of this session's own."""
    return f"{word(session.rng)}.{session.rng.getrandbits(40):x}"


def _jobs(session: Session, connection: Any) -> None:
    """Jobs put into a queue and taken out of it, each acknowledged."""
    name = _queue(session)
    sender = connection.create_sender(name)
    receiver = connection.create_receiver(name, credit=session.rng.choice((1, 10, 100)))
    for _ in session.actions():
        count = heavy(session.rng, 2, 0.8, 1, 20)
        for _ in range(count):
            sender.send(_message(session))
        size = 0
        for _ in range(count):
            size += len(receiver.receive(timeout=WAIT_S).body)
            receiver.accept()
        emit("jobs", count=count, bytes=size)


def _requests(session: Session, connection: Any, worker: Any) -> None:
    """Questions to a worker, and its answers to an address that the broker made up."""
    name = _queue(session)
    asked, questions = worker.create_receiver(name), connection.create_sender(name)
    answers = connection.create_receiver(None, dynamic=True)
    address = answers.link.remote_source.address
    replies = worker.create_sender(address)
    for number in session.actions():
        questions.send(_message(session, reply_to=address, correlation_id=number))
        question = asked.receive(timeout=WAIT_S)
        asked.accept()
        replies.send(_message(session, correlation_id=question.correlation_id))
        answer = answers.receive(timeout=WAIT_S)
        answers.accept()
        emit("reply", number=answer.correlation_id, bytes=len(answer.body))


def _backlog(session: Session, connection: Any) -> None:
    """Much put into a queue first, and fetched at once later."""
    for _ in session.actions():
        name = _queue(session)
        sender = connection.create_sender(name)
        count = heavy(session.rng, 25, 0.8, 3, 200)
        for _ in range(count):
            sender.send(_message(session))
        sender.close()
        if not session.rest():
            return
        receiver = connection.create_receiver(name, credit=count)
        size = 0
        for _ in range(count):
            size += len(receiver.receive(timeout=WAIT_S).body)
            receiver.accept()
        receiver.close()
        emit("backlog", count=count, bytes=size)


if __name__ == "__main__":
    main(serve, act)
