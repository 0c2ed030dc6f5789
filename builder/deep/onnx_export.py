"""From a Keras network to an ONNX graph, layer by layer; needs nothing but ``onnx``.

Initialisers are the network's weights as Keras holds them, named by their paths; nodes that only
rearrange them are done away with when a session loads the graph. So a network is rebuilt from its
graph. Which steps of a sequence are packets becomes the ``sequence_lens`` of the recurrent nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from keras import ops
from onnx import GraphProto, TensorProto, checker, helper, numpy_helper

from builder.scaling import scaling_nodes

OPSET: Final = 18
IR: Final = 9
LSTM_GATES: Final = (0, 3, 1, 2)  # input, output, forget, cell: places in Keras' order
ACTIVATIONS: Final[Mapping[str, str]] = {
    "relu": "Relu",
    "elu": "Elu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}


class _Graph:
    """A graph that grows; every method that adds nodes gives the name of its last output."""

    def __init__(self) -> None:
        self.proto = helper.make_graph([], "network", [], [])
        self.names: dict[int, str] = {}  # of Keras' tensors
        self.packets = self.steps = ""  # how many each row has [n, 1], and how many are kept [1]
        self._known: set[str] = set()
        self._masks: dict[tuple[str, int], str] = {}

    def node(self, operator: str, *inputs: str, output: str | None = None, **options: Any) -> str:
        output = output or f"{operator.lower()}_{len(self.proto.node)}"
        self.proto.node.append(helper.make_node(operator, inputs, [output], **options))
        return output

    def constant(self, name: str, values: npt.ArrayLike, kind: Any) -> str:
        if name not in self._known:
            self._known.add(name)
            array = numpy_helper.from_array(np.asarray(values, dtype=kind), name)
            self.proto.initializer.append(array)
        return name

    def whole(self, *numbers: int) -> str:
        """A constant of int64, by its values."""
        return self.constant("whole_" + "_".join(map(str, numbers)), numbers, np.int64)

    def places(self, length: int) -> str:
        """The numbers of steps: 1 up to ``length``."""
        return self.constant(f"places_{length}", np.arange(1, length + 1), np.float32)

    def mask(self, source: str, length: int, packets: str) -> str:
        """1 or 0, whether a step of ``source`` is a packet: [n, steps, 1]."""
        if (packets, length) not in self._masks:
            kept = self.node("Shape", source, start=1, end=2)
            places = self.node("Slice", self.places(length), self.whole(0), kept)
            there = self.node("LessOrEqual", places, packets)
            factor = self.node("Cast", there, to=TensorProto.FLOAT)
            self._masks[packets, length] = self.node("Unsqueeze", factor, self.whole(2))
        return self._masks[packets, length]

    def weight(self, variable: Any) -> str:
        """A weight of the network, by its path."""
        return self.constant(variable.path, ops.convert_to_numpy(variable.value), np.float32)


def network_graph(network: Any) -> bytes:
    """Serialise a network of named inputs and margins [n, width] as its class ``probabilities``.

    Raises
    ------
    NotImplementedError
        The network has a layer that is not known here.
    """
    graph = _translated(network)
    graph.node("Softmax", graph.names[id(network.output)], output="probabilities", axis=1)
    shape = [None, network.output.shape[1]]
    value = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    graph.proto.output.append(value)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph.proto, opset_imports=[opset], ir_version=IR)
    checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def network_part(network: Any, *, output: str) -> GraphProto:
    """A network as nodes and initialisers for a larger graph, its answer under a name."""
    graph = _translated(network)
    graph.node("Identity", graph.names[id(network.output)], output=output)
    return graph.proto


def _translated(network: Any) -> _Graph:
    graph = _Graph()
    layers = [(type(layer).__name__, layer) for layer in network.layers]
    stride = math.prod(layer.pool_size[0] for kind, layer in layers if kind == "MaxPooling1D")
    for layer in (layer for kind, layer in layers if kind == "InputLayer"):
        shape = [None, *layer.output.shape[1:]]
        value = helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, shape)
        graph.proto.input.append(value)
        long = len(shape) == 3
        graph.names[id(layer.output)] = _crop(graph, layer, stride) if long else layer.name
    for kind, layer in layers:
        if kind == "InputLayer":
            continue
        if kind not in LAYERS:
            raise NotImplementedError(f"no ONNX form of the layer {kind} is known")
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        sources = [graph.names[id(tensor)] for tensor in tensors]
        graph.names[id(layer.output)] = LAYERS[kind](graph, layer, *sources)
    return graph


def graph_weights(model: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """The initialisers of a serialised graph by name; a network's weights are among them."""
    from onnx import load_from_string

    initialisers = load_from_string(model).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in initialisers}


def _scale(graph: _Graph, layer: Any, source: str) -> str:
    fields = tuple(graph.weight(field) for field in layer.fields)
    scaling_nodes(graph.proto, source, fields, layer.name)
    return str(layer.name)


def _crop(graph: _Graph, layer: Any, stride: int) -> str:
    """Sequences without the steps at which no row has a packet: they would cost as much as others.

    One of them stays where there is one, as a maximum over steps sees its zeros; and as many as
    fill the last ``stride``.
    """
    length, zero = layer.output.shape[1], graph.constant("zero", 0.0, np.float32)
    one = graph.constant("one", 1.0, np.float32)
    largest = graph.node("ReduceMax", graph.node("Abs", layer.name), graph.whole(2), keepdims=0)
    there = graph.node("Cast", graph.node("Greater", largest, zero), to=TensorProto.FLOAT)
    numbered = graph.node("Mul", there, graph.places(length))
    last = graph.node("ReduceMax", numbered, graph.whole(1), keepdims=1)
    graph.packets = graph.node("Max", last, one)
    longest = graph.node("ReduceMax", graph.packets, graph.whole(0, 1), keepdims=0)
    filled = graph.node("Add", longest, one)
    if stride > 1:
        width = graph.constant(f"stride_{stride}", stride, np.float32)
        filled = graph.node("Mul", graph.node("Ceil", graph.node("Div", filled, width)), width)
    every = graph.constant(f"length_{length}", [length], np.float32)
    kept = graph.node("Cast", graph.node("Min", filled, every), to=TensorProto.INT64)
    graph.steps = kept
    return graph.node("Slice", layer.name, graph.whole(0), kept, graph.whole(1))


def _steps(graph: _Graph, layer: Any, source: str) -> str:  # noqa: ARG001
    """The number of packets, float32 [n, 1]; the mask is made of it where it is used."""
    if layer.stride == 1:
        return graph.packets
    stride = graph.constant(f"stride_{layer.stride}", layer.stride, np.float32)
    return graph.node("Ceil", graph.node("Div", graph.packets, stride))


def _blank(graph: _Graph, layer: Any, source: str, packets: str) -> str:
    return graph.node("Mul", source, graph.mask(source, layer.output.shape[1], packets))


def _dense(graph: _Graph, layer: Any, source: str) -> str:
    kernel, bias = graph.weight(layer.kernel), graph.weight(layer.bias)
    if len(layer.input.shape) == 2:
        return graph.node("Gemm", source, kernel, bias)
    return graph.node("Add", graph.node("MatMul", source, kernel), bias)


def _activation(graph: _Graph, layer: Any, source: str) -> str:
    return graph.node(ACTIVATIONS[layer.activation.__name__], source)


def _batch_norm(graph: _Graph, layer: Any, source: str) -> str:
    epsilon = graph.constant("epsilon", layer.epsilon, np.float32)
    spread = graph.node("Add", graph.weight(layer.moving_variance), epsilon)
    factor = graph.node("Div", graph.weight(layer.gamma), graph.node("Sqrt", spread))
    shift = graph.node("Mul", graph.weight(layer.moving_mean), factor)
    shift = graph.node("Sub", graph.weight(layer.beta), shift)
    return graph.node("Add", graph.node("Mul", source, factor), shift)


def _convolution(graph: _Graph, layer: Any, source: str) -> str:
    size = layer.kernel_size[0]
    before = (size - 1) // 2
    kernel = graph.node("Transpose", graph.weight(layer.kernel), perm=[2, 1, 0])
    channels_first = graph.node("Transpose", source, perm=[0, 2, 1])
    pads = [before, size - 1 - before]
    answer = graph.node("Conv", channels_first, kernel, graph.weight(layer.bias), pads=pads)
    return graph.node("Transpose", answer, perm=[0, 2, 1])


def _max_pool(graph: _Graph, layer: Any, source: str) -> str:
    size = layer.pool_size[0]
    channels_first = graph.node("Transpose", source, perm=[0, 2, 1])
    answer = graph.node("MaxPool", channels_first, kernel_shape=[size], strides=[size])
    return graph.node("Transpose", answer, perm=[0, 2, 1])


def _global_max(graph: _Graph, layer: Any, source: str) -> str:  # noqa: ARG001
    return graph.node("ReduceMax", source, graph.whole(1), keepdims=0)


def _repeat(graph: _Graph, layer: Any, source: str) -> str:  # noqa: ARG001
    step = graph.node("Unsqueeze", source, graph.whole(1))
    size = graph.node("Concat", graph.whole(1), graph.steps, graph.whole(1), axis=0)
    return graph.node("Expand", step, size)


def _concatenate(graph: _Graph, layer: Any, *sources: str) -> str:
    return graph.node("Concat", *sources, axis=layer.axis)


def _nothing(graph: _Graph, layer: Any, source: str) -> str:  # noqa: ARG001
    return source


def _past(graph: _Graph, layer: Any, source: str) -> str:
    places = (graph.whole(0), graph.whole(layer.steps), graph.whole(1))
    return graph.node("Unsqueeze", graph.node("Slice", source, *places), graph.whole(2))


def _lstm(graph: _Graph, layer: Any, source: str, packets: str | None = None) -> str:
    units, cell = layer.units, layer.cell
    order = np.concatenate([np.arange(units) + units * gate for gate in LSTM_GATES])
    gates = graph.constant(f"gates_{units}", order, np.int64)

    def weights(variable: Any) -> str:
        sorted_gates = graph.node("Gather", graph.weight(variable), gates, axis=1)
        return graph.node(
            "Unsqueeze", graph.node("Transpose", sorted_gates, perm=[1, 0]), graph.whole(0)
        )

    bias = graph.node("Gather", graph.weight(cell.bias), gates, axis=0)
    none = graph.constant(f"none_{4 * units}", np.zeros(4 * units), np.float32)
    both = graph.node("Concat", bias, none, axis=0)
    lengths = []
    if packets is not None:
        counted = graph.node("Squeeze", packets, graph.whole(1))
        lengths.append(graph.node("Cast", counted, to=TensorProto.INT32))
    inputs = (
        graph.node("Transpose", source, perm=[1, 0, 2]),
        weights(cell.kernel),
        weights(cell.recurrent_kernel),
        graph.node("Unsqueeze", both, graph.whole(0)),
        *lengths,
    )
    outputs = [f"{layer.name}_every", f"{layer.name}_last"]
    graph.proto.node.append(helper.make_node("LSTM", inputs, outputs, hidden_size=units))
    if not layer.return_sequences:
        return graph.node("Squeeze", outputs[1], graph.whole(0))
    every = graph.node("Squeeze", outputs[0], graph.whole(1))
    return graph.node("Transpose", every, perm=[1, 0, 2])


LAYERS: Final[Mapping[str, Callable[..., str]]] = {
    "Activation": _activation,
    "BatchNormalization": _batch_norm,
    "Blank": _blank,
    "Concatenate": _concatenate,
    "Conv1D": _convolution,
    "Dense": _dense,
    "Dropout": _nothing,
    "GlobalMaxPooling1D": _global_max,
    "LSTM": _lstm,
    "MaxPooling1D": _max_pool,
    "Past": _past,
    "RepeatVector": _repeat,
    "Scale": _scale,
    "Steps": _steps,
}
