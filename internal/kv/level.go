package kv

import "errors"

// OpenLevel opens the goleveldb database in dir and creates it where there is
// none.
func OpenLevel(dir string, o Options) (DB, *Report, error) {
	return nil, nil, errors.New("kv: goleveldb is not connected yet")
}
