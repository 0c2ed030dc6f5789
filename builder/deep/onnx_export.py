"""From a Keras network to an ONNX graph, layer by layer; needs nothing but ``onnx``.

Initialisers are the network's weights as Keras holds them, named by their paths; nodes that only
rearrange them are done away with when a session loads the graph. So a network is rebuilt from its
graph. Which steps of a sequence are packets becomes the ``sequence_lens`` of the recurrent nodes.
"""

from __future__ import annotations

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
        self._known: set[str] = set()

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
    for layer in network.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            shape = [None, *layer.output.shape[1:]]
            value = helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, shape)
            graph.proto.input.append(value)
            graph.names[id(layer.output)] = layer.name
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


def _steps(graph: _Graph, layer: Any, source: str) -> str:
    """The number of packets, float32 [n, 1]; the mask is made of it where it is used."""
    length, zero = layer.input.shape[1], graph.constant("zero", 0.0, np.float32)
    largest = graph.node("ReduceMax", graph.node("Abs", source), graph.whole(2), keepdims=0)
    there = graph.node("Cast", graph.node("Greater", largest, zero), to=TensorProto.FLOAT)
    places = graph.constant(f"places_{length}", np.arange(1, length + 1), np.float32)
    last = graph.node("ReduceMax", graph.node("Mul", there, places), graph.whole(1), keepdims=1)
    last = graph.node("Max", last, graph.constant("one", 1.0, np.float32))
    if layer.stride > 1:
        stride = graph.constant(f"stride_{layer.stride}", layer.stride, np.float32)
        last = graph.node("Ceil", graph.node("Div", last, stride))
    return last


def _blank(graph: _Graph, layer: Any, source: str, packets: str) -> str:
    length = layer.output.shape[1]
    places = graph.constant(f"places_{length}", np.arange(1, length + 1), np.float32)
    mask = graph.node("LessOrEqual", places, packets)
    factor = graph.node("Cast", mask, to=TensorProto.FLOAT)
    return graph.node("Mul", source, graph.node("Unsqueeze", factor, graph.whole(2)))


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


def _repeat(graph: _Graph, layer: Any, source: str) -> str:
    step = graph.node("Unsqueeze", source, graph.whole(1))
    return graph.node("Expand", step, graph.whole(1, layer.n, 1))


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
