-- A dictionary for the patches of a photograph: each is the sum of a few of its atoms, which turn out to be edges.
-- `luajit examples/sparse_coding.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local ffi = require "ffi"
local epact = require "epact"
local progress = require "epact.progress"
local sparse_coding = require "epact.model.sparse_coding"

local o = epact.command.read {
  about = "Learns a dictionary of image patches, and draws it. Without options: of a photograph, its left two thirds.",
  { "data", "string", root .. "/examples/data/china.pgm", "a grey picture, binary PGM" },
  { "patch", "count", 8, "pixels a side of a patch" },
  { "patches", "count", 20000, "drawn at random, to learn from" },
  { "atoms", "count", 128, "of the dictionary" },
  { "l1", "positive", 0.15, "weight of the penalty on the codes; patches have norm 1" },
  { "epochs", "count", 10, "passes over the patches" },
  { "batch", "index", 256, "patches a clock; 0: all, alternating" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random numbers" },
  { "deterministic", "flag", false, "same bits for any placement of the workers" },
  { "stats", "flag", false, "print what each table counted" },
  { "draw", "string", root .. "/build/dictionary.pgm", "file for the picture of the dictionary" },
  { "out", "string", "", "file for the model" },
}

--- A binary PGM: width, height, and the pixels as a string.
local function read_pgm(path)
  local file, reason = io.open(path, "rb")
  if not file then error("cannot read " .. reason, 0) end
  local text = file:read "*a"
  file:close()
  local width, height, largest, at = text:gsub("^P5%s+#[^\n]*", "P5"):match "^P5%s+(%d+)%s+(%d+)%s+(%d+)%s()"
  width, height = tonumber(width), tonumber(height)
  local pixels = at and text:gsub("^P5%s+#[^\n]*", "P5"):sub(at)
  if not pixels or tonumber(largest) ~= 255 or #pixels ~= width * height then
    error(path .. " is no binary PGM of 256 greys", 0)
  end
  return width, height, pixels
end

--- Random patches from columns [first, last) of the picture: without their mean, of norm 1. Even ones are passed over.
local function cut(picture, first, last, count, rng)
  local side, X, n = o.patch, epact.data.new("dense", count, o.patch ^ 2), 0
  if last - first < side or picture.height < side then error("the picture is smaller than a patch", 0) end
  for _ = 1, 50 * count do
    if n == count then break end
    local left, top = first + rng:below(last - first - side + 1), rng:below(picture.height - side + 1)
    local row, sum, squares = X.value + n * side ^ 2, 0, 0
    for i = 0, side ^ 2 - 1 do
      local grey = picture.pixels:byte((top + math.floor(i / side)) * picture.width + left + i % side + 1) / 255
      row[i], sum, squares = grey, sum + grey, squares + grey ^ 2
    end
    local mean = sum / side ^ 2
    local norm = math.sqrt(math.max(0, squares - sum * mean))
    if norm > 0.02 * side then
      for i = 0, side ^ 2 - 1 do row[i] = (row[i] - mean) / norm end
      n = n + 1
    end
  end
  if n < count then error("the picture has hardly a patch that is not even", 0) end
  return X
end

--- The cosines of JPEG, without the constant: what a patch is made of when nothing is learned.
local function cosines()
  local side = o.patch
  local D = epact.data.new("dense", math.max(1, side ^ 2 - 1), side ^ 2)
  for k = 1, side ^ 2 - 1 do
    local u, v, squares = math.floor(k / side), k % side, 0
    local row = D.value + (k - 1) * side ^ 2
    for i = 0, side ^ 2 - 1 do
      local y, x = math.floor(i / side), i % side
      row[i] = math.cos(math.pi * (y + 0.5) * u / side) * math.cos(math.pi * (x + 0.5) * v / side)
      squares = squares + row[i] ^ 2
    end
    for i = 0, side ^ 2 - 1 do row[i] = row[i] / math.sqrt(squares) end
  end
  return D
end

--- The atoms side by side, each with its own range of greys, 4 x 4 pixels for one.
local function draw(path, D)
  local side, zoom, across = o.patch, 4, math.ceil(math.sqrt(D.rows * 2))
  local down, step = math.ceil(D.rows / across), side * zoom + 2
  local width, height = across * step + 2, down * step + 2
  local pixels = ffi.new("uint8_t[?]", width * height)
  for k = 0, D.rows - 1 do
    local left, top, largest = 2 + k % across * step, 2 + math.floor(k / across) * step, 1e-12
    for i = 0, side ^ 2 - 1 do largest = math.max(largest, math.abs(D.value[k * side ^ 2 + i])) end
    for y = 0, side * zoom - 1 do
      for x = 0, side * zoom - 1 do
        local value = D.value[k * side ^ 2 + math.floor(y / zoom) * side + math.floor(x / zoom)]
        pixels[(top + y) * width + left + x] = 128 + 127 * value / largest
      end
    end
  end
  local file, reason = io.open(path, "wb")
  if not file then error("cannot write " .. reason, 0) end
  file:write(("P5\n%d %d\n255\n"):format(width, height), ffi.string(pixels, width * height))
  file:close()
  return width, height
end

epact.command.main(function()
  local width, height, pixels = read_pgm(o.data)
  local picture, rng = { width = width, height = height, pixels = pixels }, epact.rng(o.seed, 1)
  local border = math.floor(width * 2 / 3)
  local X, test = cut(picture, 0, border, o.patches, rng), cut(picture, border, width, 2000, rng)
  print(("%d x %d pixels; %d patches of %d x %d; %d atoms, %d workers"):format(width, height, X.rows, o.patch, o.patch,
    o.atoms, o.workers))

  local function fit(given)
    return epact.run({ workers = o.workers, seed = o.seed, deterministic = o.deterministic }, function(w)
      local line = w.id == 0 and progress.new(given.epochs)
      local model = sparse_coding.fit(w, X, {
        atoms = given.atoms, l1 = o.l1, epochs = given.epochs, batch = given.batch, dictionary = given.dictionary,
        tolerance = 0,
        on_report = function(now)
          line:step(now.epoch, ("objective %.5f  %.1f atoms a patch  %s patches/s"):format(now.objective / X.rows,
            now.nonzeros, progress.amount(X.rows * now.epoch / now.seconds)))
        end,
      })
      if line then line:done() end
      return w.id == 0 and model or nil
    end)
  end

  local model, report = fit { atoms = o.atoms, epochs = o.epochs, batch = o.batch > 0 and o.batch or nil }
  -- An epoch of all patches together measures the dictionary it begins with, and leaves it.
  local patches, basis = fit { atoms = o.atoms, epochs = 1 }, cosines()
  local nothing_learned = fit { atoms = basis.rows, epochs = 1, dictionary = basis }
  if not model then return end -- worker 0 is in another process

  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = now.objective end
  print(("\nobjective by epoch %s\n\n%-28s %10s %10s %14s"):format(epact.plot.sparkline(curve), "", "training", "test",
    "atoms a patch"))
  local function row(name, of)
    print(("%-28s %10.4f %10.4f %14.2f"):format(name, of.objective / X.rows, of:score(test), of.nonzeros))
  end
  row(("%d cosines"):format(basis.rows), nothing_learned)
  row(("%d of the patches"):format(o.atoms), patches)
  row(("%d learned atoms"):format(o.atoms), model)
  local last = model.history[#model.history]
  print(("\n%.2f s, %s patches/s; every code is within %.1e of the best one's objective"):format(last.seconds,
    progress.amount(X.rows * last.epoch / last.seconds), last.gap))
  if o.draw ~= "" then
    draw(o.draw, model:dictionary())
    print("the dictionary is drawn in " .. o.draw)
  end
  if o.out ~= "" then
    model:save(o.out)
    print("model written to " .. o.out)
  end
  if o.stats then print(report) end
end)
