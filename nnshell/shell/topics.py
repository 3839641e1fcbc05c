"""Help texts that are not about one command."""

from __future__ import annotations

_SESSION = """
A session goes through these steps, in this order:

  open lenet.onnx                        read the model
  show                                   look at its steps
  adjust                                 order the tensors as the chip's kernels want them
  fusions --scale8                       join layers that one kernel computes
  aquant images/*                        calibrate on images, quantize to int8
  qshow                                  see scales and zero points
  qerror images/*                        see where int8 differs from float
  validate images/* -q                   count right answers of the int8 graph
  simulate                               estimate cycles, memory and energy on GAP8
  save_state                             write lenet.json beside the model
  gen                                    write the files for the chip's tool chain

`tutorial` walks through it and explains each step.
"""

_SELECTORS = """
Commands that work on nodes take a selector:

  5          step 5                      -1        the last step
  NAME       the node of that name       conv*     nodes whose name begins so
  a:b        steps or names from a to b  4:        from 4 on, :4 up to 4
  *          all nodes                   1,4,7:9   several

A selector that matches nothing is an error that lists near names.
"""

_SCRIPTS = """
A script has one command on a line. `nnshell -s FILE` and `run_script FILE` run it.

  # ...            a comment, at the beginning of a line or after a blank
  "x y"  'x y'     one word with blanks; nothing is special in single quotes
  $(NAME)          a variable: from -D NAME=VALUE, `set_var NAME VALUE`, the environment, or
                   the Makefile in the working folder, which is read as text
  > FILE           write the results of the command to a file; >> FILE adds to it
  | PROGRAM        send the results to a program

A script stops at the first command that fails, and nnshell ends with exit status 1; with
--keep-going it runs on. `nnshell --check -s FILE` looks for mistakes without running anything.
Exit status: 0 all commands succeeded, 1 one failed, 2 wrong options of nnshell, 130 interrupted.
"""

_INPUTS = """
Commands that read images take files, patterns such as images/*.png, folders, .npy and .npz arrays,
a CIFAR-10 folder or MNIST idx files; files are used in sorted order.

An image is decoded, converted (-M MODE), resized (-H HEIGHT -W WIDTH), transposed to channels
first (-T), and then normalized: by the norm function (--norm_func "x: x/128-1"), or else as
value / divisor + offset (-D DIVISOR -O OFFSET).

Give what the network was trained with. Options that are left out come from the last `aquant` on
this graph, then from `set`. Several graph inputs: NAME=PATTERN for each.
"""

_FORMATS = """
Commands that print tables take --format:

  table   columns that fit the terminal; aligned text when the output is a file or a pipe
  plain   aligned text
  blocks  a record a block, a cell a line: for narrow windows
  csv     for a spreadsheet
  json    for a program: a list with one object per row

--columns A,B shows these columns, in this order. -c FILE writes the table to a file as CSV.
--svg FILE draws its numbers (.svg, .png, .pdf): bars, histograms, heat maps, curves.

At the prompt, what is longer than the window is shown by a pager; `set pager false` ends that.
"""

_CLIP_TYPES = """
Outliers cost precision: a range twice as wide has steps twice as coarse. --clip_type cuts them off:

  none        keep everything that was seen
  percentile  all but one in 100,000
  kth         all but the k largest and smallest, the more of them the fewer bits there are
  entropy     the least loss of information (Kullback-Leibler)
  mse         the least squared error
  histogram   the same, found by giving up one end or the other step by step
  stdN        mean +- N standard deviations, N from 1 to 5
  laplace     the optimum for this distribution; gaus for a normal one; mix the better of both
  whiskers    the whiskers of a box plot

--weight_clip does so with weights: none, mse, percentile, std1..std5, laplace, gaus. With
--weight_bits and --act_bits below 8 use `validate --engine simulated`; the chip has 8 bits.
"""

_QUANTIZATION = """
A real number x is stored as an integer q: x = scale * (q - zero_point), q = x / scale rounded.

  symmetric    zero point 0, scale = max|x| / 127: weights, one scale for each output channel
  asymmetric   the range from alpha to beta on all integers: scale = (beta - alpha) / 255, and the
               zero point is the integer of 0: activations, whose range calibration found

  float32      a sign, 8 bits of exponent, 24 digits: any size, 4 bytes, float units
  int8         -128 to 127, 1 byte; products fit 16 bits and sums 32: four at once on GAP8
  uint8        0 to 255: the same with another zero point (pixels)

What is inside the range is off by up to half a scale (rounding), what is outside is cut off
(clipping): a calibrator chooses the range between the two (`help clip_types`, `quantize_values`).

A layer's sums have the scale sI * sW. One multiplication and a shift take them to the output's sO,
and the next layer reads those integers as they are: its sI is that sO. Only where two tensors of
unequal scales meet (add, concat) is one of them quantized anew, which other tools do by way of
floats: "dequantize before the next layer".

`explain scales NODE` shows a node's numbers, `explain formula` the chain, `explain NODE` one value.
"""

_DATA = """
`tutorial NAME --data FOLDER` and `lab NAME --data FOLDER` work on a model and data of your own. The
folder holds one model (.onnx, .tflite) and files or folders called calibration... or train..., and
test... or val...; a file lesson.toml in it names what is called otherwise, and how pixels are
prepared:

  model = "model_lab4.onnx"
  calibration = "cifar10_train.npz"
  test = "cifar10_test.npz"
  norm = "x: (x/255-0.5)/0.5"

What a tutorial's text says of the sample does not hold then; questions whose answers the session
knows are judged on your data.
"""

_TRAINING = """
`qat INPUTS` trains the graph's weights while everything is rounded as it will be, and quantizes the
graph with what was learned. It needs torch: pip install 'nnshell[train]'.

  --quantizer lsq     steps are learned (the default)
              lsq+    and offsets
              qat     ranges are moving averages, weights reach to their largest
              dorefa  weights by their tanh, activations clipped to the calibrated range
              pact    as dorefa, with a learned clip
              none    float: a first training, as after `init all`

  --loss cross_entropy   from labels: class folders, names that end in _N, data sets
         distill         from the float graph's answers, without labels
         mse             an autoencoder's: output against input
         vae             a variational autoencoder's: reconstruction, mean, log variance

A share of the samples (--held_out) is not trained on and decides which epoch is kept. Ctrl-C ends
with the best so far; --checkpoint FILE keeps a run, and with --resume the same line goes on.
The first and the last filter have --end_bits, 8 unless it is given.
"""

TOPICS = {
    "session": _SESSION,
    "selectors": _SELECTORS,
    "scripts": _SCRIPTS,
    "inputs": _INPUTS,
    "formats": _FORMATS,
    "clip_types": _CLIP_TYPES,
    "data": _DATA,
    "quantization": _QUANTIZATION,
    "training": _TRAINING,
}
