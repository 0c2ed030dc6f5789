"""One lab over several machines: who gets what, what joins it, and who does it there.

On every machine a process of ours (`gsta lab node`) makes its part of the lab with the back end
that a lab on one machine has. The launcher talks to it over its standard input and output, however
it is reached; when that ends, so does the part.
"""
