local ffi = require "ffi"
local data = require "epact.data"
local rng = require "epact.rng"
local text = require "epact.text"

local written = {}

-- A temporary file with these bytes.
local function file(bytes, suffix)
  local path = os.tmpname()
  written[#written + 1] = path
  if suffix then
    path = path .. suffix
    written[#written + 1] = path
  end
  local handle = assert(io.open(path, "wb"))
  handle:write(bytes)
  handle:close()
  return path
end

local function contents(path)
  local handle = assert(io.open(path, "rb"))
  local bytes = handle:read "*a"
  handle:close()
  return bytes
end

-- Reading `bytes` must fail, saying "FILE<message>".
local function refuses(reader, bytes, message, ...)
  local path = file(bytes)
  local ok, said = pcall(reader, path, ...)
  assert.is_false(ok, "was accepted: " .. bytes:sub(1, 60))
  assert.truthy(said:find(path .. message, 1, true), ("expected FILE%s\ngot %s"):format(message, said))
  return said
end

local function list(pointer, n)
  local copy = {}
  for i = 0, n - 1 do copy[i + 1] = tonumber(pointer[i]) end
  return copy
end

local function values(dense) return list(dense.value, dense.rows * dense.cols) end

after_each(function()
  for _, path in ipairs(written) do os.remove(path) end
  written = {}
end)

describe("any reader", function()
  it("says why a file cannot be read", function()
    assert.error_matches(function() data.csv "no/such/file" end,
      "data%.csv: cannot open no/such/file: No such file or directory %[E_IO%]")
    assert.error_matches(function() data.csv "spec" end, "cannot read spec: Is a directory %[E_IO%]")
    assert.error_matches(function() data.csv(nil) end, "data%.csv: path must be a string, got nil")
  end)

  it("refuses empty files", function()
    for _, reader in ipairs { data.libsvm, data.csv, data.ratings, data.edges, data.vocabulary, data.corpus,
      text.corpus } do
      refuses(reader, "", ":1: expected ")
      if reader ~= text.corpus and reader ~= data.vocabulary then
        assert.truthy(refuses(reader, "\n\n", ":3: expected "):find("found the end of the file", 1, true))
      end
    end
  end)

  it("refuses NUL bytes in every place", function()
    refuses(data.csv, "1,2\n3,\0004\n", ":2: expected text, found a NUL byte")
    refuses(data.edges, "# \0\n1 2\n", ":1: expected text, found a NUL byte")
    refuses(data.csv, "1\0", ":1: expected text, found a NUL byte")
  end)

  it("takes CRLF, a missing last line end, blank lines, blanks at line ends and a byte order mark", function()
    assert.same({ 1, 2, 3, 4 }, values(data.csv(file "\239\187\1911,2\r\n\r\n  \n3,4 \t")))
    local X = data.libsvm(file "\r\n1 1:2\r\n\n-1 3:4 \r\n")
    assert.same({ 0, 1, 2 }, list(X.start, 3))
    assert.same({ 3, 4 }, list(data.ratings(file "1 2 3\r\n4 3 4").value, 2))
    refuses(data.csv, "1,2\r3,4\n", [[:1: expected ',', found "\x0d3,4" (character 4)]])
  end)

  it("does not mind where the chunks of the file end", function()
    local line = ("1.25,"):rep(6001) .. "7\n"
    local table_ = data.csv(file(line:rep(40)))
    assert.equal("epact.dense <40 x 6002>", tostring(table_))
    for i = 0, 39 do assert.equal(7, table_[i * 6002 + 6001]) end
    for _, size in ipairs { 65535, 65536, 65537, 262143, 262144, 262145 } do
      local bytes = ("1\n"):rep(math.floor((size - 1) / 2)) .. (size % 2 == 0 and "12" or "2")
      assert.equal(size, #bytes)
      local column = data.csv(file(bytes))
      assert.equal(math.floor((size - 1) / 2) + 1, column.rows)
      assert.equal(size % 2 == 0 and 12 or 2, column[column.rows - 1])
    end
  end)

  it("refuses overlong lines of formats that have short ones", function()
    refuses(data.edges, "1 2\n3 4" .. (" "):rep(500000) .. "\n", ":2: expected a line of at most 65536 bytes")
  end)

  it("names the line in a later chunk", function()
    refuses(data.edges, ("1 2\n"):rep(200000) .. "1 x\n", ":200001: expected a vertex", { duplicates = "keep" })
  end)
end)

describe("gzip", function()
  local path
  before_each(function()
    local corpus = data.new("corpus", 2, 3, 3)
    for i, entry in ipairs { { 0, 4 }, { 2, 1 }, { 1, 7 } } do
      corpus.word[i - 1], corpus.count[i - 1] = entry[1], entry[2]
    end
    corpus.start[1], corpus.start[2] = 2, 3
    path = file("", ".gz")
    data.write_corpus(path, nil, corpus)
  end)

  it("is what a name in .gz gets, and is read whatever the name", function()
    assert.equal("\31\139", contents(path):sub(1, 2))
    local corpus = data.corpus(file(contents(path)))
    assert.equal("epact.corpus <2 documents x 3 words, 3 pairs, 12 tokens>", tostring(corpus))
    assert.same({ 0, 2, 1 }, list(corpus.word, 3))
  end)

  it("refuses truncated, damaged and followed-by-garbage files", function()
    local bytes = contents(path)
    for _, kept in ipairs { 2, 5, 12, #bytes - 9, #bytes - 1 } do
      refuses(data.corpus, bytes:sub(1, kept), ": the gzip data ends too early")
    end
    local damaged = bytes:sub(1, -6) .. string.char((bytes:byte(-5) + 1) % 256) .. bytes:sub(-4)
    refuses(data.corpus, damaged, ": damaged gzip data")
    refuses(data.corpus, bytes .. "garbage", ": damaged gzip data")
  end)

  it("reads several members one after the other", function()
    local bytes = contents(path)
    refuses(data.corpus, bytes .. bytes, ":7: expected the end of the file after 3 pairs, found \"2\"")
  end)
end)

describe("numbers", function()
  it("are read exactly, in every shape", function()
    local stream = rng(7)
    local shapes = { "%d", "%.1f", "%.3f", "%.8f", "%.15g", "%.16g", "%.17g", "%.3e", "%.18e", "%.25f", "%.12E" }
    local said = {}
    for i = 1, 20000 do
      local x = (stream:uniform() - 0.5) * 10 ^ (stream:below(i % 4 == 0 and 600 or 30) - (i % 4 == 0 and 300 or 15))
      local shape = shapes[stream:below(#shapes) + 1]
      if shape == "%d" then x = stream:below(2 ^ 53) end
      said[i] = shape:format(x)
    end
    for _, extreme in ipairs { "0", "-0", "+1", ".5", "5.", "-.5e-3", "1e22", "1e23", "9007199254740993", "4.9e-324",
      "1.7976931348623157e308", "2.2250738585072011e-308", "0.000000000000000000000000000001", "1e-400",
      "18446744073709551615", "18446744073709551616", "9007199254740992.5", "9007199254740993.0000000000000001",
      "123456789012345678901234567890", "1e-27", "8.5e27", "00000000000000000000000000012", "1e0000000000000000001" } do
      said[#said + 1] = extreme
    end
    local column = data.csv(file(table.concat(said, "\n")))
    for i, word in ipairs(said) do
      assert.equal(tonumber(word), column[i - 1], word)
    end
    assert.equal(-math.huge, 1 / column[20001])
  end)

  it("must be finite decimal numbers", function()
    for _, word in ipairs { "nan", "NaN", "inf", "-inf", "Infinity", "1e309", "-1e400", "", "-", "+", ".", "e5", "--1",
      "abc", "'1'" } do
      refuses(data.csv, "1,2\n3," .. word .. "\n", ":2: expected a finite number in column 1, found ")
    end
    for _, word in ipairs { "0x10", "1.2.3", "1e5e5", "1_000", "1f", "1 2" } do
      refuses(data.csv, "1,2\n3," .. word .. "\n", ":2: expected ',', found ", { separator = "," })
    end
    refuses(data.csv, "1,2\n3,1e\n", ":2: expected a finite number in column 1, found \"1e\" (character 3)")
  end)

  it("are shown as found, control characters and length made harmless", function()
    refuses(data.csv, "1,2\n3,\27[31m\n", [[:2: expected a finite number in column 1, found "\x1b[31m"]])
    refuses(data.csv, "1,2\n3," .. ("x"):rep(5000),
      (":2: expected a finite number in column 1, found \"%s...\" (character 3)"):format(("x"):rep(24)))
  end)
end)

describe("data.libsvm", function()
  it("reads rows, labels and comments", function()
    local X, y = data.libsvm(file "# made by hand\n+1 1:0.5 4:-2e1 # the first\n-1\n0.5 2:3\n")
    assert.equal("epact.sparse <3 x 4, 3 non-zeros>", tostring(X))
    assert.same({ 0, 2, 2, 3 }, list(X.start, 4))
    assert.same({ 0, 3, 1 }, list(X.index, 3))
    assert.same({ 0.5, -20, 3 }, list(X.value, 3))
    assert.same({ 1, -1, 0.5 }, values(y))
    assert.equal(1, y.cols)
  end)

  it("counts indices from 0 and fixes the columns when told", function()
    local X = data.libsvm(file "1 0:5 2:6\n", { base = 0 })
    assert.same({ 0, 2 }, list(X.index, 2))
    assert.equal(3, X.cols)
    assert.equal(9, data.libsvm(file "1 1:1\n", { cols = 9 }).cols)
    refuses(data.libsvm, "1 1:1 10:1\n", ":1: expected `index:value` with an index in 2 .. 9, found \"10:1\"",
      { cols = 9 })
  end)

  it("refuses what is not libsvm, by line", function()
    local fault = ":2: expected `index:value` with an index of at least "
    refuses(data.libsvm, "1 1:1\n1 0:1\n", fault .. "1 (indices increase), found \"0:1\" (character 3)")
    refuses(data.libsvm, "1 1:1\n1 5:1 5:2\n", fault .. "6")
    refuses(data.libsvm, "1 1:1\n1 5:1 4:2\n", fault .. "6")
    refuses(data.libsvm, "1 1:1\n1 4294967296:2\n", fault)
    refuses(data.libsvm, "1 1:1\n1 99999999999999999999999:2\n", fault)
    refuses(data.libsvm, "1 1:1\n1 -1:2\n", fault)
    refuses(data.libsvm, "1 1:1\n1 3\n", fault)
    refuses(data.libsvm, "1 1:1\n1 qid:7 3:1\n", fault)
    refuses(data.libsvm, "1 1:1\nyes 3:1\n", ":2: expected a label (a finite number), found \"yes\"")
    refuses(data.libsvm, "1 1:1\n1,2 3:1\n", ":2: expected a blank, found \",2\"")
    refuses(data.libsvm, "1 1:1\n1 3:\n", ":2: expected a finite number, found the end of the line")
    refuses(data.libsvm, "1 1:1\n1 3: 4\n", ":2: expected a finite number")
    refuses(data.libsvm, "1 1:1\n1 3:nan\n", ":2: expected a finite number, found \"nan\"")
    refuses(data.libsvm, "1 1:1\n1 3:4x\n", ":2: expected a blank, found \"x\"")
  end)

  it("reads the shipped breast-cancer data", function()
    local X, y = data.libsvm "examples/data/breast-cancer.svm"
    assert.equal("epact.sparse <569 x 30, 17070 non-zeros>", tostring(X))
    local benign = 0
    for i = 0, #y - 1 do benign = benign + (y[i] > 0 and 1 or 0) end
    assert.equal(357, benign)
  end)
end)

describe("data.corpus", function()
  local header = "3\n5\n4\n"

  it("reads documents in order, empty ones too, with words in any order", function()
    local corpus = data.corpus(file(header .. "1 5 2\n1 1 1\n3 2 4\n3 3 1\n"))
    assert.equal("epact.corpus <3 documents x 5 words, 4 pairs, 8 tokens>", tostring(corpus))
    assert.same({ 0, 2, 2, 4 }, list(corpus.start, 4))
    assert.same({ 4, 0, 1, 2 }, list(corpus.word, 4))
    local word, count, n = corpus:document(2)
    assert.same({ { 1, 2 }, { 4, 1 } }, { list(word, n), list(count, n) })
  end)

  it("holds the file to its header", function()
    refuses(data.corpus, header .. "1 1 1\n2 1 1\n", ":6: expected 4 pairs (there are 2), found the end of the file")
    refuses(data.corpus, "3\n5\n1\n1 1 1\n1 2 1\n", ":5: expected the end of the file after 1 pairs, found \"1\"")
    refuses(data.corpus, header .. "0 1 1\n", ":4: expected a document in 1 .. 3 (documents are in order), found \"0\"")
    refuses(data.corpus, header .. "4 1 1\n", ":4: expected a document in 1 .. 3")
    refuses(data.corpus, header .. "2 1 1\n1 1 1\n", ":5: expected a document in 2 .. 3")
    refuses(data.corpus, header .. "1 0 1\n", ":4: expected a word in 1 .. 5, found \"0\"")
    refuses(data.corpus, header .. "1 6 1\n", ":4: expected a word in 1 .. 5, found \"6\"")
    refuses(data.corpus, header .. "1 1 0\n", ":4: expected a count in 1 .. 4294967295, found \"0\"")
    refuses(data.corpus, header .. "1 1 -1\n", ":4: expected a count")
    refuses(data.corpus, header .. "1 1 1.5\n", ":4: expected the end of the line, found \".5\"")
    refuses(data.corpus, header .. "1 1\n", ":4: expected a count in 1 .. 4294967295, found the end of the line")
    refuses(data.corpus, "3\n-5\n4\n", ":2: expected the number of words")
    refuses(data.corpus, "3\n5\n", ":3: expected the number of pairs")
    refuses(data.corpus, "99999999999\n5\n4\n", ":1: expected the number of documents (at most 4294967294)")
  end)

  it("refuses a pair that comes twice, next to each other or not", function()
    refuses(data.corpus, header .. "1 3 1\n1 3 2\n",
      ":5: expected a word that document 1 does not have yet, found \"3\"")
    refuses(data.corpus, header .. "1 3 1\n1 5 2\n1 1 1\n1 5 1\n",
      ":7: expected a word that document 1 does not have yet")
    refuses(data.corpus, header .. "1 3 1\n2 3 2\n2 2 1\n2 3 1\n",
      ":7: expected a word that document 2 does not have yet")
  end)

  it("does not allocate what a header merely announces", function()
    refuses(data.corpus, "3\n5\n900000000000000000\n1 1 1\n", ":5: expected 900000000000000000 pairs (there are 1)")
  end)

  it("checks that the vocabulary fits", function()
    local docword = file "1\n2\n1\n1 2 1\n"
    local _, vocab = data.corpus(docword, file "apple\r\npear")
    assert.same({ [0] = "apple", "pear" }, vocab)
    assert.error_matches(function() data.corpus(docword, file "apple\n") end,
      "has 1 words, but .* announces 2 %[E_PARSE%]")
    refuses(data.vocabulary, "apple\n\npear\n", ":2: expected a word, found the end of the line")
  end)

  it("is written so that it reads the same", function()
    local corpus, vocab = data.corpus("examples/data/docword.sotu.txt.gz", "examples/data/vocab.sotu.txt")
    assert.equal("epact.corpus <233 documents x 9907 words, 310938 pairs, 729020 tokens>", tostring(corpus))
    assert.equal("abandon", vocab[0])
    local docword, words = file "", file ""
    data.write_corpus(docword, words, corpus:slice(230), vocab)
    local again, vocab_again = data.corpus(docword, words)
    assert.same(vocab, vocab_again)
    assert.equal(3, again.documents)
    local bytes, first = again.pairs * 4, corpus.start[230]
    assert.equal(ffi.string(corpus.word + first, bytes), ffi.string(again.word, bytes))
    assert.equal(ffi.string(corpus.count + first, bytes), ffi.string(again.count, bytes))
    assert.equal(corpus:slice(230).tokens, again.tokens)
    assert.error_matches(function() data.write_corpus("no/such/file", nil, corpus) end,
      "cannot open no/such/file: .*E_IO")
    assert.error_matches(function() data.write_corpus("/dev/full", nil, corpus) end, "cannot write /dev/full: No space")
  end)
end)

describe("data.ratings", function()
  it("takes commas, tabs, blanks and ::, names and timestamps", function()
    for _, bytes in ipairs { "3,0,4.5\n1,2,3\n", "3\t0\t4.5\n1\t2\t3", "3 0 4.5\n1  2 3\n", "3::0::4.5\n1::2::3\n",
      "userId,movieId,rating,timestamp\n3,0,4.5,978300760\n1,2,3,978300760\n", "# by hand\n3 0 4.5\n\n1 2 3 17\n" } do
      local ratings = data.ratings(file(bytes))
      assert.equal("epact.ratings <4 users x 3 items, 2 ratings>", tostring(ratings))
      assert.same({ { 3, 1 }, { 0, 2 }, { 4.5, 3 } },
        { list(ratings.user, 2), list(ratings.item, 2), list(ratings.value, 2) })
    end
    for _, word in ipairs { "3", "3.", "3.5", "3.55", ".5", "35", "3e1", "3.5e1", "-3.5", "0.1" } do
      local value = data.ratings(file("1,2," .. word)).value[0]
      assert.equal(tonumber(ffi.cast("float", tonumber(word))), value, word)
    end
  end)

  it("counts from 1 and fixes the sizes when told", function()
    local ratings = data.ratings(file "1 2 3\n", { base = 1, users = 5, items = 2 })
    assert.equal("epact.ratings <5 users x 2 items, 1 ratings>", tostring(ratings))
    assert.same({ 0, 1 }, { ratings.user[0], ratings.item[0] })
    refuses(data.ratings, "0 2 3\n", ":1: expected a user in 1 .. 4294967295, found \"0\"", { base = 1 })
    refuses(data.ratings, "1 2 3\n2 3 3\n", ":2: expected an item in 0 .. 2, found \"3\"", { items = 3 })
  end)

  it("refuses what is no rating, by line", function()
    refuses(data.ratings, "1 2 3\n1 3\n", ":2: expected a blank or tab, found the end of the line")
    refuses(data.ratings, "1,2,3\n1 3 3\n", ":2: expected a comma, found \" 3\"")
    refuses(data.ratings, "1 2 3\n1 3 nan\n", ":2: expected a rating (a finite number), found \"nan\"")
    refuses(data.ratings, "1 2 3\n1 3 1e39\n", ":2: expected a rating (a finite number)")
    refuses(data.ratings, "1 2 3\nx 3 3\n", ":2: expected a user")
    refuses(data.ratings, "-1 2 3\n", ":1: expected a user")
    refuses(data.ratings, "9223372036854775808 2 3\n", ":1: expected a user", { base = 1 })
    refuses(data.ratings, "9999999999999999999 2 3\n", ":1: expected a user")
    refuses(data.ratings, "1 2 3\n1 3 3 4 5\n", ":2: expected the end of the line, found \"5\"")
    refuses(data.ratings, "1 2 3\n1 3 3 soon\n", ":2: expected a timestamp or the end of the line")
    refuses(data.ratings, "user item rating\n", ":2: expected `user item value`, found the end of the file")
    refuses(data.ratings, "user item rating\n1 2 3\n", ":1: expected a user", { header = false })
  end)

  it("refuses a pair rated twice, at its line, unless told", function()
    local bytes = "u,i,r\n5,1,1\n# note\n\n2,3,1\n5,2,1\n2,3,4\n"
    refuses(data.ratings, bytes, ":7: expected each pair once, found user 2 and item 3 again")
    assert.equal(4, data.ratings(file(bytes), { duplicates = "keep" }).count)
    refuses(data.ratings, "4000000000 7 1\n1 7 1\n4000000000 7 2\n", ":3: expected each pair once")
    local stream, lines, seen = rng(3), {}, {}
    for k = 1, 5000 do
      local user, item = stream:below(80), stream:below(200)
      if not seen[user * 1000 + item] then lines[#lines + 1] = ("%d %d 1"):format(user, item) end
      seen[user * 1000 + item] = true
    end
    assert.equal(#lines, data.ratings(file(table.concat(lines, "\n"))).count)
    lines[#lines + 1] = lines[1234]
    refuses(data.ratings, table.concat(lines, "\n"), (":%d: expected each pair once"):format(#lines))
  end)

  it("reads the shipped lecture ratings", function()
    local train = data.ratings "examples/data/insteval.tr.txt.gz"
    assert.equal("epact.ratings <2972 users x 1128 items, 66079 ratings>", tostring(train))
    assert.equal(7342, #data.ratings("examples/data/insteval.te.txt.gz", { users = 2972, items = 1128 }))
  end)
end)

describe("data.edges", function()
  it("reads edges with and without weights", function()
    local edges = data.edges(file "# nodes 4\n% and more\n3 0\n1\t2\n")
    assert.equal("epact.edges <4 vertices, 2 edges>", tostring(edges))
    assert.is_true(edges.weight == nil)
    local weighted = data.edges(file "1,2,0.5\n2,1,-3\n", { base = 1, vertices = 9 })
    assert.equal("epact.edges <9 vertices, 2 weighted edges>", tostring(weighted))
    assert.same({ { 0, 1 }, { 1, 0 }, { 0.5, -3 } },
      { list(weighted.source, 2), list(weighted.target, 2), list(weighted.weight, 2) })
    assert.same({ 1, 0 }, list(weighted:transpose().source, 2))
  end)

  it("refuses what is no edge, by line", function()
    refuses(data.edges, "0 1\n2\n", ":2: expected a blank or tab, found the end of the line")
    refuses(data.edges, "0 1\n2 3 0.5\n", ":2: expected the end of the line, found \"0.5\"")
    refuses(data.edges, "0 1 2\n2 3\n", ":2: expected a weight, as the first edge has, found the end of the line")
    refuses(data.edges, "0 1 2\n2 3 inf\n", ":2: expected a weight (a finite number), found \"inf\"")
    refuses(data.edges, "0 4294967295\n", ":1: expected a vertex in 0 .. 4294967294, found \"4294967295\"")
    refuses(data.edges, "0 1\n1 9\n", ":2: expected a vertex in 0 .. 8", { vertices = 9 })
    refuses(data.edges, "%\n2 1\n0 1\n2 1\n", ":4: expected each edge once, found 2 to 1 again")
    assert.equal(3, #data.edges(file "2 1\n0 1\n2 1\n", { duplicates = "keep" }))
  end)
end)

describe("data.csv", function()
  it("finds separator and header, and splits the label off", function()
    for _, separator in ipairs { ",", ";", "\t", " " } do
      local bytes = ('"a b",y,c\n1, 2,3\n4,5 ,6\n'):gsub(separator == " " and "a b" or "", ""):gsub(", ",
        ","):gsub(" ,", ",")
      local X, y, names = data.csv(file((bytes:gsub(",", separator))), { label = "y" })
      assert.same({ 1, 3, 4, 6 }, values(X))
      assert.same({ 2, 5 }, values(y))
      assert.equal("c", names[1])
      assert.equal("epact.dense <2 x 2>", tostring(X))
    end
    local X, y, names = data.csv(file "1 2  3\n 4 5 6\n", { label = 2 })
    assert.same({ { 1, 2, 4, 5 }, { 3, 6 } }, { values(X), values(y) })
    assert.is_nil(names)
  end)

  it("refuses ragged rows with both widths", function()
    refuses(data.csv, "# c\n1,2,3\n\n1,2\n", ":4: expected 3 fields as in line 2, found 2")
    refuses(data.csv, "a,b\n1,2,3\n", ":2: expected 2 fields as in line 1, found 3")
    refuses(data.csv, "1,2,\n", ":1: expected a finite number in column 2, found the end of the line")
    refuses(data.csv, "1,,2\n", ":1: expected a finite number in column 1, found \",2\"")
    refuses(data.csv, "1\t\t2\n", ":1: expected a finite number in column 1")
  end)

  it("takes a first line for names only if it has no number and no missing one", function()
    refuses(data.csv, "a,2\n1,2\n", ":1: expected a finite number in column 0, found \"a,2\"")
    refuses(data.csv, "nan,NA\n1,2\n", ":1: expected a finite number in column 0")
    refuses(data.csv, "a,b\n1,2\n", ":1: expected a finite number in column 0", { header = false })
    assert.equal(1, data.csv(file "1,2\n3,4\n", { header = true }).rows)
    refuses(data.csv, "a,b\n", ":2: expected a row of numbers, found the end of the file")
  end)

  it("checks its options", function()
    local path = file "a,b\n1,2\n"
    assert.error_matches(function() data.csv(path, { label = 2 }) end,
      "option 'label' must be a column in 0 %.%. 1 or a name")
    assert.error_matches(function() data.csv(path, { label = "c" }) end, "no column is named 'c'")
    assert.error_matches(function() data.csv(path, { labels = 1 }) end, "did you mean 'label'")
    assert.error_matches(function() data.csv(path, { header = 1 }) end,
      "option 'header' must be true, false or \"detect\"")
  end)

  it("reads the shipped diabetes data", function()
    local X, y, names = data.csv("examples/data/diabetes.csv", { label = "progression" })
    assert.equal("epact.dense <442 x 64>", tostring(X))
    assert.same({ 151, "age", "s6^2" }, { y[0], names[0], names[63] })
  end)
end)

describe("a data set", function()
  local X, y
  before_each(function() X, y = data.libsvm(file "1 1:1 3:2\n2 2:3\n3\n4 1:4 2:5 3:6\n") end)

  it("has sizes that are plain numbers, rows and dot products", function()
    local sum = 0
    for i = 0, X.rows - 1 do sum = sum + X:dot(i, { [0] = 1, 10, 100 }) * y[i] end
    assert.equal(201 + 30 * 2 + 654 * 4, sum)
    local index, value, n = X:row(3)
    assert.same({ { 0, 1, 2 }, { 4, 5, 6 } }, { list(index, n), list(value, n) })
    assert.same({ 4, 3, 6, 4 }, { #X, X.cols, X.count, #y })
    assert.equal(2, y:dot(1, ffi.new("float[1]", 1)))
    assert.error_matches(function() X:dot(4, y) end, "sparse:dot: row 4 is outside 0 %.%. 3")
    assert.error_matches(function() X:row(-1) end, "sparse:row: row %-1 is outside 0 %.%. 3")
    assert.error_matches(function() return y[4] end, "dense:%[%]: element 4 is outside 0 %.%. 3")
    assert.error_matches(function() y[-1] = 0 end, "element %-1 is outside")
  end)

  it("is sliced without a copy, and the slice keeps the memory", function()
    local part = X:slice(1):slice(0, 3):slice(2, 3)
    assert.equal("epact.sparse <1 x 3, 3 non-zeros>", tostring(part))
    assert.is_true(part.value == X.value)
    y:slice(2, 4)[1] = 40
    assert.equal(40, y[3])
    X:close()
    X = nil
    collectgarbage()
    assert.equal(15, part:dot(0, { [0] = 1, 1, 1 }))
    assert.equal("epact.sparse <0 x 3, 0 non-zeros>", tostring(part:slice(1)))
    assert.error_matches(function() part:slice(0, 2) end, "sparse:slice: 0 %.%. 2 is no range in 0 %.%. 1")
    assert.error_matches(function() part:slice(0.5) end, "is no range")
  end)

  it("is transposed, slices too", function()
    local T = X:slice(1, 4):transpose()
    assert.equal("epact.sparse <3 x 3, 4 non-zeros>", tostring(T))
    assert.same({ { 0, 1, 3, 4 }, { 2, 0, 2, 2 }, { 4, 3, 5, 6 } },
      { list(T.start, 4), list(T.index, 4), list(T.value, 4) })
    local square = data.csv(file "1 2 3\n4 5 6\n"):transpose()
    assert.same({ 1, 4, 2, 5, 3, 6 }, values(square))
    assert.equal("epact.dense <3 x 2>", tostring(square))
  end)

  it("is transposed for a range of columns, whose entries are counted", function()
    local T = X:slice(1, 4):transpose()
    for first = 0, 3 do
      for last = first, 3 do
        local part = X:slice(1, 4):transpose(first, last)
        assert.equal(last - first, part.rows)
        for j = first, last - 1 do
          local index, value, count = part:row(j - first)
          local whole_index, whole_value, whole_count = T:row(j)
          assert.same({ list(whole_index, whole_count), list(whole_value, whole_count) },
            { list(index, count), list(value, count) })
        end
      end
    end
    assert.same({ 1, 2, 1 }, list(X:slice(1, 4):column_entries(), 3))
    local square = data.csv(file "1 2 3\n4 5 6\n")
    assert.same({ 2, 5, 3, 6 }, values(square:transpose(1)))
    assert.error_matches(function() X:transpose(1, 4) end, "columns 1 %.%. 4 are no range in 0 %.%. 3")
    assert.error_matches(function() square:transpose(2, 1) end, "columns 2 %.%. 1 are no range")
    assert.error_matches(function() X:transpose "x" end, "x %.%. 3 is no range of columns")
    local wrong = data.new("sparse", 1, 2, 1)
    wrong.start[1], wrong.index[0] = 1, 2
    assert.error_matches(function() wrong:column_entries() end, "entry 0 has column 2 of 2")
    assert.error_matches(function() wrong:transpose() end, "entry 0 has column 2 of 2")
    assert.same({ 0, 1, 0 }, list(X:slice(1, 4):column_entries(nil, 3), 3))
  end)

  it("transposes twice to itself, at a size beyond one tile", function()
    local stream = rng(11)
    local dense = data.new("dense", 70, 45)
    for i = 0, 70 * 45 - 1 do dense[i] = stream:normal() end
    assert.same(values(dense), values(dense:transpose():transpose()))
    assert.equal(dense[69 * 45 + 44], dense:transpose()[44 * 70 + 69])
  end)

  it("is empty once closed, twice if need be", function()
    X:close()
    X:close()
    assert.equal("epact.sparse <closed>", tostring(X))
    assert.equal(0, X.rows)
    assert.error_matches(function() X:dot(0, y) end, "sparse:dot: this data set was closed")
    assert.error_matches(function() X:slice(0) end, "closed")
    assert.error_matches(function() X:transpose() end, "closed")
    assert.error_matches(function() data.export(X) end, "closed")
  end)

  it("is exported and imported as a view of the same memory", function()
    local part = X:slice(3)
    local exported = data.export(part)
    assert.equal("sparse", exported.kind)
    assert.equal("number", type(exported.address))
    local imported = data.import(exported)
    X:close()
    part:close()
    X = nil
    collectgarbage()
    assert.equal(15, imported:dot(0, { [0] = 1, 1, 1 }))
    assert.error_matches(function() data.import {} end, "data%.import: expected what data%.export returned")
    assert.error_matches(function() data.export(1) end, "data%.export: expected a data set, got number")
  end)

  it("knows its kind", function()
    assert.equal("sparse", data.kind(X))
    assert.equal("dense", data.kind(y))
    assert.is_nil(data.kind "sparse")
    assert.is_nil(data.kind(ffi.new "int[1]"))
    for _, case in ipairs { { "sparse", 2, 3, 4 }, { "dense", 2, 3 }, { "corpus", 2, 3, 4 }, { "ratings", 2, 3, 4 },
      { "edges", 2, 3, 1 } } do
      assert.equal(case[1], data.kind(data.new(unpack(case))))
    end
  end)

  it("is not made in impossible sizes", function()
    assert.error_matches(function() data.new("sparse", 2, 2 ^ 33, 0) end,
      "cols must be in 0 %.%. 4294967296, not 8589934592")
    assert.error_matches(function() data.new("dense", 2 ^ 40, 2 ^ 40) end, "E_NOMEM")
    assert.error_matches(function() data.new("sparse", 2, 2, 2 ^ 52) end, "E_NOMEM")
    assert.error_matches(function() data.new("dense", -1, 2) end, "size must be an integer >= 0, got %-1")
    assert.error_matches(function() data.new "matrix" end, "no kind of data set is called \"matrix\"")
  end)
end)

describe("text.corpus", function()
  local bytes = "The cat sat. The CAT ran!\n\n" ..
    "A dog's cat\227\128\129 caf\195\169\226\128\148cat\ndog; caf\195\169 x2y sat\n"
  local function counts(corpus, vocab, document)
    local word, count, n = corpus:document(document)
    local bag = {}
    for k = 0, n - 1 do bag[vocab[word[k]]] = count[k] end
    return bag
  end

  it("counts the words of each line", function()
    local corpus, vocab = text.corpus(file(bytes),
      { min_documents = 1, max_share = 1, min_length = 1, stop_words = false })
    assert.same({ [0] = "a", "caf\195\169", "cat", "dog", "ran", "s", "sat", "the", "x", "y" }, vocab)
    assert.equal("epact.corpus <4 documents x 10 words, 14 pairs, 17 tokens>", tostring(corpus))
    assert.same({ the = 2, cat = 2, sat = 1, ran = 1 }, counts(corpus, vocab, 0))
    assert.same({}, counts(corpus, vocab, 1))
    assert.same({ a = 1, dog = 1, s = 1, cat = 2, ["caf\195\169"] = 1 }, counts(corpus, vocab, 2))
  end)

  it("drops rare, frequent, short and stop words", function()
    local corpus, vocab = text.corpus(file(bytes))
    assert.same({ [0] = "caf\195\169", "cat", "dog", "sat" }, vocab)
    assert.same({ cat = 2, sat = 1 }, counts(corpus, vocab, 0))
    assert.same({ "dog", "sat" }, { vocab[2], vocab[3] })
    local _, own = text.corpus(file(bytes), { stop_words = file "Cat\nDOG", min_length = 4 })
    assert.same({ [0] = "caf\195\169" }, own)
    local _, rare = text.corpus(file(bytes), { min_documents = 1, max_share = 0.25, stop_words = false })
    assert.same({ [0] = "ran", "the" }, rare)
  end)

  it("grows past its first hash table", function()
    local words, lines = {}, {}
    for i = 0, 17575 do
      local a, b, c = math.floor(i / 676), math.floor(i / 26) % 26, i % 26
      words[i + 1] = string.char(97 + a, 97 + b, 97 + c)
    end
    for k = 1, 3 do lines[k] = table.concat(words, k == 2 and ", " or " ") end
    local corpus, vocab = text.corpus(file(table.concat(lines, "\n")), { max_share = 1, stop_words = false })
    assert.equal("epact.corpus <3 documents x 17576 words, 52728 pairs, 52728 tokens>", tostring(corpus))
    for i = 1, #words do assert.equal(words[i], vocab[i - 1]) end
  end)

  it("ignores what is too long to be a word", function()
    local long, longest = ("x"):rep(65), ("\195\169"):rep(64)
    local _, vocab = text.corpus(file(long .. " cat " .. longest .. " " .. ("\128"):rep(999)),
      { min_documents = 1, max_share = 1 })
    assert.same({ [0] = "cat", longest }, vocab)
  end)

  it("says so when nothing is left", function()
    refuses(text.corpus, "cat\ndog\n", ": expected words of 2 to 1 of the 2 documents, found none among 2")
    assert.error_matches(function() text.corpus(file "x", { stop_words = "no/such/file" }) end,
      "cannot read the stop words in no/such/file: No such file or directory %[E_IO%]")
    assert.error_matches(function() text.corpus(file "x", { stop_words = true }) end, "option 'stop_words' must be")
  end)
end)
