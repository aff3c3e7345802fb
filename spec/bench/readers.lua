-- MB/s of each reader beside a plain read of the same file. CPU time, best of several, files in the page cache.
-- Usage: luajit spec/bench/readers.lua [MEGABYTES], from the root of the project, after `make`.
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = (os.getenv "EPACT_BUILD" or "./build") .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local data = require "epact.data"
local rng = require "epact.rng"
local text = require "epact.text"
local core = require "epact.core"

ffi.cdef "int open(const char *, int, ...); long read(int, void *, size_t); int close(int);"

local megabytes = tonumber(arg[1]) or 100
local path = os.tmpname()

-- Writes lines from `line(k)` until the file is as large as asked for; returns bytes and lines.
local function generate(line, first)
  local file = assert(io.open(path, "wb"))
  local bytes, lines, chunk = #first, 0, { first }
  while bytes < megabytes * 1e6 do
    local added = line(lines)
    lines, bytes = lines + 1, bytes + #added
    chunk[#chunk + 1] = added
    if #chunk == 4096 then
      file:write(table.concat(chunk))
      chunk = {}
    end
  end
  file:write(table.concat(chunk))
  file:close()
  return bytes, lines
end

local function plain_read()
  local buffer = ffi.new "char[262144]"
  local descriptor = ffi.C.open(path, 0)
  repeat until ffi.C.read(descriptor, buffer, 262144) <= 0
  ffi.C.close(descriptor)
end

local function best(f)
  local least = math.huge
  for _ = 1, 3 do
    collectgarbage()
    local before = os.clock()
    local result = f()
    least = math.min(least, os.clock() - before)
    if result then result:close() end
  end
  return least
end

local stream = rng(1)
local pairs_of_document = 100

local function corpus_line(k)
  local place = k % pairs_of_document
  return ("%d %d %d\n"):format((k - place) / pairs_of_document + 1, place * 1000 + stream:below(1000) + 1,
    stream:below(9) + 1)
end

local function corpus_file()
  generate(corpus_line, "") -- for the number of lines
  local _, lines = generate(corpus_line, "")
  local body = assert(io.open(path, "rb"))
  local bytes = body:read "*a"
  body:close()
  local count = select(2, bytes:gsub("\n", ""))
  local file = assert(io.open(path, "wb"))
  file:write(("%d\n%d\n%d\n"):format(lines, pairs_of_document * 1000, count), bytes)
  file:close()
  return #bytes
end

-- Distinct pairs in no order: the search for duplicates has to run.
local function rating_line(separator, shape)
  local format = "%d" .. separator .. "%d" .. separator .. shape .. "\n"
  return function(k)
    local user = (k * 40503) % 70000
    return format:format(user, (math.floor(k / 70000) * 7919 + user) % 10007, (stream:below(10) + 1) / 2)
  end
end

local function libsvm_line()
  local entries, index = { stream:below(2) * 2 - 1 .. "" }, 0
  for _ = 1, 20 do
    index = index + stream:below(2000) + 1
    entries[#entries + 1] = ("%d:%.8f"):format(index, stream:uniform())
  end
  return table.concat(entries, " ") .. "\n"
end

local function csv_line(shape)
  return function()
    local fields = {}
    for j = 1, 50 do fields[j] = shape:format(stream:normal()) end
    return table.concat(fields, ",") .. "\n"
  end
end

local function text_line()
  local words = {}
  for j = 1, 100 do
    local id = math.floor(20000 * stream:uniform() ^ 4)
    words[j] = string.char(97 + id % 26, 97 + math.floor(id / 26) % 26, 97 + math.floor(id / 676) % 26, 101, 114,
      97 + math.floor(id / 17576))
  end
  return table.concat(words, " ") .. ".\n"
end

local cases = {
  { "corpus (UCI)", corpus_file, function() return (data.corpus(path)) end },
  { "libsvm, 8 decimals", function() return (generate(libsvm_line, "")) end,
    function()
      local X, y = data.libsvm(path)
      y:close()
      return X
    end },
  { "ratings, tab", function() return (generate(rating_line("\t", "%g"), "")) end,
    function() return data.ratings(path) end },
  { "ratings, tab, kept", function() return (generate(rating_line("\t", "%g"), "")) end,
    function() return data.ratings(path, { duplicates = "keep" }) end },
  { "ratings, ::", function() return (generate(rating_line("::", "%g"), "")) end,
    function() return data.ratings(path) end },
  { "edges", function() return (generate(rating_line(" ", ""), "")) end,
    function() return data.edges(path, { duplicates = "keep" }) end },
  { "csv, 6 digits", function() return (generate(csv_line "%.6g", "")) end, function() return (data.csv(path)) end },
  { "csv, 17 digits", function() return (generate(csv_line "%.17g", "")) end, function() return (data.csv(path)) end },
  { "text", function() return (generate(text_line, "")) end,
    function() return (text.corpus(path, { stop_words = false, max_share = 1 })) end },
}

print(("%-20s %8s %14s %14s"):format("reader", "MB", "reader MB/s", "read() MB/s"))
for _, case in ipairs(cases) do
  local name, make, read = unpack(case)
  local bytes = make()
  local plain, reader = best(plain_read), best(read)
  print(("%-20s %8.0f %14.0f %14.0f"):format(name, bytes / 1e6, bytes / 1e6 / reader, bytes / 1e6 / plain))
end
print(("peak memory of this process: %.0f MB"):format(core.C.epact_peak_memory() / 1e6))
os.remove(path)
