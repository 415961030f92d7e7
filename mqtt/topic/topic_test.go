package topic

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	long := strings.Repeat("x", lengthMax)
	for _, c := range []struct {
		name  string
		depth int
		want  error
	}{
		{"", 0, ErrEmpty},
		{"/", 2, nil},
		{"/", 1, ErrTooDeep},
		{"a/b/c", 3, nil},
		{"a/b/c", 2, ErrTooDeep},
		{"a/b/c", 0, nil},
		{"a//c", 3, nil},
		{" ", 1, nil},
		{"$SYS/x", 2, nil},
		{"$share/g/t", 3, nil}, // a strange name, but a name
		{"a+", 0, ErrWildcard},
		{"a/+/b", 0, ErrWildcard},
		{"#", 0, ErrWildcard},
		{"a\x00b", 0, ErrNul},
		{long, 0, nil},
		{long + "x", 0, ErrTooLong},
	} {
		if got := CheckName([]byte(c.name), c.depth); got != c.want {
			t.Errorf("CheckName(%.40q, %d) = %v, want %v", c.name, c.depth, got, c.want)
		}
	}
}

func TestCheckFilter(t *testing.T) {
	long := strings.Repeat("x", lengthMax)
	for _, c := range []struct {
		filter string
		depth  int
		want   error
	}{
		{"", 0, ErrEmpty},
		{"a", 1, nil},
		{"#", 1, nil},
		{"+", 1, nil},
		{"/", 2, nil},
		{"+/+", 2, nil},
		{"/+", 2, nil},
		{"a/#", 2, nil},
		{"a/#", 1, ErrTooDeep},
		{"+/a/#", 3, nil},
		{"a#", 0, ErrWildcard},
		{"a/b#", 0, ErrWildcard},
		{"#/a", 0, ErrWildcard},
		{"a/#/b", 0, ErrWildcard},
		{"a+", 0, ErrWildcard},
		{"+a", 0, ErrWildcard},
		{"a/+b/c", 0, ErrWildcard},
		{"++", 0, ErrWildcard},
		{"##", 0, ErrWildcard},
		{"a\x00", 0, ErrNul},
		{long, 0, nil},
		{long + "x", 0, ErrTooLong},
		{"$share/g/a", 3, nil},
		{"$share/g/a", 2, ErrTooDeep}, // the levels of the prefix count
		{"$share/g/#", 3, nil},
		{"$share/g//", 0, nil},
		{"$share/g/a#", 0, ErrWildcard},
		{"$share", 0, ErrShare},
		{"$share/", 0, ErrShare},
		{"$share/g", 0, ErrShare},
		{"$share/g/", 0, ErrShare},
		{"$share//a", 0, ErrShare},
		{"$share/+/a", 0, ErrShare},
		{"$share/g#/a", 0, ErrShare},
		{"$share/g/$share/h/a", 0, ErrShare},
		{"$shared/g", 0, nil},
		{"$SYS/#", 0, nil},
	} {
		if got := CheckFilter([]byte(c.filter), c.depth); got != c.want {
			t.Errorf("CheckFilter(%.40q, %d) = %v, want %v", c.filter, c.depth, got, c.want)
		}
	}
}

func TestSplitShare(t *testing.T) {
	for _, c := range []struct {
		in, group string
		filter    Filter
		shared    bool
		err       error
	}{
		{"a/b", "", "a/b", false, nil},
		{"", "", "", false, ErrEmpty},
		{"$SYS/a", "", "$SYS/a", false, nil},
		{"$share/g/a/+", "g", "a/+", true, nil},
		{"$share/g//", "g", "/", true, nil},
		{"$share/g", "", "", true, ErrShare},
		{"$share", "", "", true, ErrShare},
		{"$share/g/", "", "", true, ErrShare},
		{"$share//a", "", "", true, ErrShare},
		{"$share/g+/a", "", "", true, ErrShare},
		{"$share/g/$share/h/a", "", "", true, ErrShare},
	} {
		group, filter, shared, err := SplitShare(c.in)
		if group != c.group || filter != c.filter || shared != c.shared || err != c.err {
			t.Errorf("SplitShare(%q) = %q %q %v %v, want %q %q %v %v",
				c.in, group, filter, shared, err, c.group, c.filter, c.shared, c.err)
		}
	}
}

// TestMatches holds the examples of MQTT 5 §4.7 and the edges around them.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter Filter
		name   Name
		want   bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"sport/#", "sports", false},
		{"#", "a/b", true},
		{"#", "/", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"+/#", "a", true},
		{"+/#", "a/b/c", true},
		{"#", "$SYS/monitor", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"+", "$SYS", false},
		{"$SYS/#", "$SYS/monitor/Clients", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/x", true},
		{"a/+/$x", "a/$y/$x", true}, // '$' is special in the first level only
		{"a/#", "a/$x", true},
		{"a", "A", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a//b", "a//b", true},
		{"a/+/b", "a//b", true},
		{"/", "/", true},
		{"//", "/", false},
		{"#/a", "x/a", false}, // not a filter: taken literally
		{"a+", "ab", false},
	} {
		if got := Matches(c.filter, c.name); got != c.want {
			t.Errorf("Matches(%q, %q) = %v, want %v", c.filter, c.name, got, c.want)
		}
		if got := levelsMatch(c.filter, c.name); got != c.want {
			t.Errorf("the oracle itself: levelsMatch(%q, %q) = %v, want %v", c.filter, c.name, got, c.want)
		}
	}
}

// levelsMatch is a second matcher, written from the text of §4.7 over split
// levels: what the others are compared with.
func levelsMatch(f Filter, n Name) bool {
	fl, nl := strings.Split(string(f), "/"), strings.Split(string(n), "/")
	last := len(fl) - 1
	if n != "" && n[0] == '$' && (fl[0] == "+" || fl[0] == "#" && last == 0) {
		return false
	}
	for i, l := range fl {
		if l == "#" && i == last {
			return len(nl) >= i
		}
		if i >= len(nl) || l != "+" && l != nl[i] {
			return false
		}
	}
	return len(fl) == len(nl)
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a/+/#", "a/b/c"}, {"$share/g/+", "$SYS"}, {"#/#", "#"}, {"//", "/"},
		{"+/b/+", "a/b/"}, {"$share/$share/x", "\x00"}, {"a/#", "a"}, {"+", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		errF, errN := CheckFilter([]byte(filter), 10), CheckName([]byte(name), 10)
		group, inner, shared, errS := SplitShare(filter)
		if errF == nil && errS != nil {
			t.Fatalf("%q passes CheckFilter and SplitShare says %v", filter, errS)
		}
		if errF == nil && shared && sharePrefix+group+"/"+string(inner) != filter {
			t.Fatalf("%q splits into %q and %q", filter, group, inner)
		}
		if errN == nil && CheckFilter([]byte(name), 10) == nil && !isShare([]byte(name)) && !Matches(Filter(name), Name(name)) {
			t.Fatalf("the name %q does not match itself", name)
		}
		want := levelsMatch(Filter(filter), Name(name))
		if got := Matches(Filter(filter), Name(name)); got != want {
			t.Fatalf("Matches(%q, %q) = %v, want %v", filter, name, got, want)
		}
		x := NewIndex[int](Config{CacheEntries: -1})
		x.Subscribe(Filter(filter), 1, Options{})
		x.Subscribe("#", 2, Options{})
		if got := hasSub(x.Match([]byte(name)), 1); got != want {
			t.Fatalf("Index: %q matches %q = %v, want %v", filter, name, got, want)
		}
		if !x.Unsubscribe(Filter(filter), 1) || hasSub(x.Match([]byte(name)), 1) {
			t.Fatalf("Index: %q does not go away", filter)
		}
	})
}

func hasSub[S comparable](r *Result[S], s S) bool {
	for _, h := range r.Direct {
		if h.Sub == s {
			return true
		}
	}
	return false
}
